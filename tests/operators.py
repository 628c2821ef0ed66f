"""The operators that weights files may need: those of torch 2.6, the oldest that setup.cfg allows.

A torch that lacks one refuses the whole file, even if it is never called. A new one may join the list once
`torch._C._jit_get_all_schemas()` of torch 2.6 is seen to have it.
"""

_NAMES = """
aten::Bool.Tensor aten::__and__.Tensor aten::__getitem__.t aten::__or__.Tensor aten::_upsample_bilinear2d_aa
aten::abs aten::add.Scalar aten::add.Tensor aten::add.int aten::add_.Scalar aten::any aten::append.t
aten::arange aten::arange.start aten::argmin aten::avg_pool2d aten::batch_norm aten::bitwise_not aten::bmm
aten::cat aten::clamp aten::clamp_ aten::conv2d aten::conv_transpose2d.input aten::copy_ aten::div.Scalar
aten::div.Tensor aten::dropout aten::embedding aten::eq.Scalar aten::eq.Tensor aten::eq.int aten::expand
aten::flatten.using_ints aten::flip aten::floor_divide.Scalar aten::gt.Scalar aten::index.Tensor
aten::leaky_relu aten::len.t aten::lt.int aten::masked_fill.Scalar aten::mul.Scalar aten::mul.Tensor
aten::mul.float_int aten::mul.int aten::mul_.Scalar aten::ne.int aten::neg aten::new_full aten::numel
aten::outer aten::pad aten::permute aten::pixel_shuffle aten::relu aten::relu_ aten::remainder.Scalar
aten::round aten::select.int aten::size aten::size.int aten::slice.Tensor aten::softmax.int aten::split.sizes
aten::square aten::sub.Scalar aten::sub.Tensor aten::sub.int aten::sum.dim_IntList aten::tanh aten::to.dtype
aten::transpose.int aten::unsqueeze aten::upsample_bilinear2d.vec aten::upsample_nearest2d.vec aten::view
aten::where.self aten::zeros prim::TupleUnpack prim::min.int prim::unchecked_cast
"""

OLD_OPERATORS = frozenset(_NAMES.split())
