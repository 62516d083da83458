// What tests ask of the stand-in for cuDNN beyond cuDNN's own API.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_CUDNN_STANDIN_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_CUDNN_STANDIN_H

#include <stdbool.h>

int standin_cudnn_alive(void);               // descriptors and handles that were made and not destroyed
int standin_cudnn_made(void);                // since the process began
int standin_cudnn_plans(void);               // plans finalized since the process began
void standin_cudnn_refuse_sums(bool refuse); // no engine adds to what its result holds
void standin_cudnn_refuse_bias(bool refuse); // no engine takes a bias
void standin_cudnn_refuse_all(bool refuse);  // no engine at all; STANDIN_CUDNN_REFUSE=D: on that device
void standin_cudnn_fail_next_run(void);      // the next cudnnBackendExecute fails

#endif
