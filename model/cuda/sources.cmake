# What the backend is made of; tests/cuda compiles the very same files for the host.
set(GRIDFOLD_CUDA_SOURCES
    cuda_backend.c cuda_status.c device.c layout.c operation.c arena.c params.c gradients.c resident.c
    convolution.c cudnn_engine.c cudnn_plan.c cudnn_graph.c cudnn_library.c group.c nccl_library.c shared_library.c)
set(GRIDFOLD_CUDA_KERNELS
    kernels/cast.cu kernels/elementwise.cu kernels/bias.cu kernels/batchnorm.cu kernels/pool.cu kernels/temporal.cu
    kernels/lstm_cell.cu kernels/cut.cu kernels/loss.cu kernels/optimizer.cu)
