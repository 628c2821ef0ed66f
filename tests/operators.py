"""The operators that weights files may need: those of torch 2.6, the oldest that setup.cfg allows.

A torch that lacks one refuses the whole file, even if it is never called. A new one may join the list once
`torch._C._jit_get_all_schemas()` of torch 2.6 is seen to have it.
"""

_NAMES = """
aten::Bool.Tensor aten::Bool.int aten::Float.Tensor aten::Int.Tensor aten::Int.float aten::__and__.Tensor
aten::__derive_index aten::__getitem__.t aten::__or__.Tensor aten::__range_length
aten::_upsample_bilinear2d_aa aten::abs aten::add.Scalar aten::add.Tensor aten::add.float aten::add.int
aten::add.t aten::add_.Scalar aten::add_.Tensor aten::all.dim aten::any aten::any.dim aten::append.t
aten::arange aten::arange.start aten::argmin aten::avg_pool2d aten::batch_norm aten::bitwise_not aten::bmm
aten::cat aten::clamp aten::clamp_ aten::clone aten::conv2d aten::conv_transpose2d.input aten::copy_
aten::cummin aten::diff aten::div.Scalar aten::div.Tensor aten::div.int aten::dropout aten::embedding
aten::eq.Scalar aten::eq.Tensor aten::eq.int aten::exp aten::expand aten::flatten.using_ints aten::flip
aten::floor_divide.Scalar aten::floordiv.int aten::ge.Scalar aten::ge.Tensor aten::ge.float aten::ge.int
aten::gt.Scalar aten::gt.int aten::index.Tensor aten::index_put_ aten::le.Tensor aten::le.float
aten::le.int_float aten::leaky_relu aten::len.Tensor aten::len.t aten::lt.Scalar aten::lt.float aten::lt.int
aten::masked_fill.Scalar aten::masked_fill_.Scalar aten::max aten::max_pool1d aten::maximum aten::mean
aten::mean.dim aten::median.dim aten::min aten::mul.Scalar aten::mul.Tensor aten::mul.float_int
aten::mul.int aten::mul.int_float aten::mul_.Scalar aten::nan_to_num aten::nanmedian.dim aten::ne.Scalar
aten::ne.int aten::neg aten::neg.float aten::neg.int aten::new_full aten::new_zeros aten::nonzero
aten::numel aten::outer aten::pad aten::permute aten::pixel_shuffle aten::relu aten::relu_
aten::remainder.Scalar aten::remainder.int aten::reshape aten::round aten::select.int aten::size
aten::size.int aten::slice.Tensor aten::softmax.int aten::split.sizes aten::square aten::sub.Scalar
aten::sub.Tensor aten::sub.int aten::sum aten::sum.dim_IntList aten::tanh aten::tensor.bool aten::to.dtype
aten::to.other aten::transpose.int aten::unsqueeze aten::upsample_bilinear2d aten::upsample_bilinear2d.vec
aten::upsample_nearest2d.vec aten::view aten::where.self aten::zeros prim::TupleUnpack prim::max.int
prim::max.self_int prim::min.int prim::min.self_int prim::unchecked_cast
"""

OLD_OPERATORS = frozenset(_NAMES.split())
