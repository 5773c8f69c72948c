// Recorded work: CUDA graphs captured from a queue.
#include "kernels/cuda/device.cuh"

namespace fastserve::kernels {

// A DeviceGraph is CUDA's executable graph itself: nothing else is kept.
DeviceResult begin_capture(DeviceQueue* queue, DeviceMessage* message) {
  // Other threads may allocate meanwhile: they are not part of it.
  const cudaError_t error = on_device(
      *queue->context, [&] { return cudaStreamBeginCapture(queue->stream, cudaStreamCaptureModeThreadLocal); });
  return check_cuda(error, "cannot begin to record a CUDA graph", message);
}

DeviceResult end_capture(DeviceQueue* queue, DeviceGraph** graph, DeviceMessage* message) {
  *graph = nullptr;
  cudaGraph_t recorded = nullptr;
  cudaError_t error = on_device(*queue->context, [&] { return cudaStreamEndCapture(queue->stream, &recorded); });
  if (error != cudaSuccess) return check_cuda(error, "cannot record a CUDA graph", message);
  cudaGraphExec_t executable = nullptr;
  error = on_device(*queue->context, [&] { return cudaGraphInstantiate(&executable, recorded, 0); });
  cudaGraphDestroy(recorded);
  if (error == cudaSuccess) *graph = reinterpret_cast<DeviceGraph*>(executable);
  return check_cuda(error, "cannot make a CUDA graph", message);
}

DeviceResult launch_graph(DeviceQueue* queue, DeviceGraph* graph, DeviceMessage* message) {
  const cudaError_t error = on_device(
      *queue->context, [&] { return cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), queue->stream); });
  return check_cuda(error, "cannot launch a CUDA graph", message);
}

void close_graph(DeviceGraph* graph) {
  if (graph != nullptr) cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(graph));
}

}  // namespace fastserve::kernels
