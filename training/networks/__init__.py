"""The networks of both recipes; each file holds one."""
