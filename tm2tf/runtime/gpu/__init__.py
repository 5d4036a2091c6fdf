"""Many streams of the same weights on a GPU: one persistent Triton kernel, or torch in a batch.

`run_many` runs them. Where Triton is missing, or the weights are not fit for the kernel, the plain
torch model takes the streams as one batch; on CUDA its decode step is one captured graph.
"""

from tm2tf.runtime.gpu.many import KERNELS, emitted, run_many

__all__ = ["KERNELS", "emitted", "run_many"]
