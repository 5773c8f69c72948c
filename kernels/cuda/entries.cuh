// The entries of the table, each in a file of its family.
#pragma once
#include "kernels/device_kernels.h"

namespace fastserve::kernels {

extern const DeviceKernels kDeviceKernels;

namespace cuda {

// rows.cu
DeviceResult get_rows(DeviceQueue* queue, const GetRowsArgs* args, DeviceMessage* message);
DeviceResult select_rows(DeviceQueue* queue, const DeviceSelectRowsArgs* args, DeviceMessage* message);
DeviceResult softcap(DeviceQueue* queue, const DeviceSoftcapArgs* args, DeviceMessage* message);
DeviceResult add(DeviceQueue* queue, const AddArgs* args, DeviceMessage* message);
// row_forms.cu
DeviceResult rms_norm(DeviceQueue* queue, const RmsNormArgs* args, DeviceMessage* message);
DeviceResult layer_norm(DeviceQueue* queue, const LayerNormArgs* args, DeviceMessage* message);
DeviceResult rms_norm_quantize(DeviceQueue* queue, const RmsNormQuantizeArgs* args, DeviceMessage* message);
DeviceResult quantize_q8(DeviceQueue* queue, const QuantizeArgs* args, DeviceMessage* message);
DeviceResult round_bf16(DeviceQueue* queue, const RoundBf16Args* args, DeviceMessage* message);
DeviceResult gated(DeviceQueue* queue, const GatedArgs* args, DeviceMessage* message);
DeviceResult gated_quantize(DeviceQueue* queue, const GatedQuantizeArgs* args, DeviceMessage* message);
// rope.cu
DeviceResult rope_angles(DeviceQueue* queue, const RopeAnglesArgs* args, DeviceMessage* message);
DeviceResult rope(DeviceQueue* queue, const RopeArgs* args, DeviceMessage* message);
DeviceResult kv_append(DeviceQueue* queue, const KvAppendArgs* args, DeviceMessage* message);
DeviceResult rope_append(DeviceQueue* queue, const DeviceRopeAppendArgs* args, DeviceMessage* message);
// attention.cu
DeviceResult attention(DeviceQueue* queue, const DeviceAttentionArgs* args, DeviceMessage* message);
uint64_t attention_scratch_bytes(const DeviceAttentionArgs* args);
// matmul.cu
DeviceResult matmul(DeviceQueue* queue, const DeviceMatmulArgs* args, DeviceMessage* message);
uint64_t matmul_scratch_bytes(const DeviceMatmulArgs* args);
// experts.cu
DeviceResult route(DeviceQueue* queue, const DeviceRouteArgs* args, DeviceMessage* message);
DeviceResult experts(DeviceQueue* queue, const DeviceExpertsArgs* args, DeviceMessage* message);
uint64_t experts_scratch_bytes(const DeviceExpertsArgs* args);
// sample.cu
DeviceResult sample(DeviceQueue* queue, const DeviceSampleArgs* args, DeviceMessage* message);

}  // namespace cuda
}  // namespace fastserve::kernels
