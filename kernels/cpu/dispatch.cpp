// CPUID to KernelTable: every table starts as the scalar reference and is overridden, weakest set first, so that a
// table holds the best kernel its instruction set has and never a null entry.
#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels {
namespace {

constexpr int kLayoutCount = static_cast<int>(PackedLayout::kCount);

bool is_float_layout(PackedLayout layout) {
  return layout == PackedLayout::kF32 || layout == PackedLayout::kF16 || layout == PackedLayout::kBF16;
}

KernelTable make_reference() {
  KernelTable t{};
  t.version = kKernelTableVersion;
  t.name = "reference";
  t.quantize_q8 = reference::quantize_q8;
  for (int i = 1; i < kLayoutCount; ++i) {
    t.matmul_f32[i] = reference::matmul_f32;
    t.matmul_float_name[i] = t.name;
    if (is_float_layout(static_cast<PackedLayout>(i))) continue;
    t.matmul_q8[i] = reference::matmul_q8;
    t.matmul_q8_name[i] = t.matmul_q8_few_name[i] = t.name;
  }
  t.get_rows = reference::get_rows;
  t.rms_norm = reference::rms_norm;
  t.rms_norm_quantize = reference::rms_norm_quantize;
  t.layer_norm = reference::layer_norm;
  t.rope_angles = reference::rope_angles;
  t.rope = reference::rope;
  t.gated = reference::gated;
  t.gated_quantize = reference::gated_quantize;
  t.kv_append = reference::kv_append;
  t.attention = reference::attention;
  t.add = reference::add;
  t.block_max = reference::block_max;
  return t;
}

#ifdef FASTSERVE_X86_KERNELS
using MatmulLookup = MatmulFn (*)(PackedLayout);

void override_matmul(MatmulFn* entries, const char** names, MatmulLookup lookup, const char* name) {
  for (int i = 1; i < kLayoutCount; ++i) {
    MatmulFn fn = lookup(static_cast<PackedLayout>(i));
    if (fn == nullptr) continue;
    entries[i] = fn;
    names[i] = name;
  }
}

void override_q8(KernelTable* t, MatmulLookup lookup) {
  override_matmul(t->matmul_q8, t->matmul_q8_name, lookup, t->name);
  override_matmul(t->matmul_q8, t->matmul_q8_few_name, lookup, t->name);
}

void override_f32(KernelTable* t, MatmulLookup lookup) {
  override_matmul(t->matmul_f32, t->matmul_float_name, lookup, t->name);
}

KernelTable make_avx2(const KernelTable& base) {
  KernelTable t = base;
  t.name = "avx2";
  t.quantize_q8 = avx2::quantize_q8;
  override_q8(&t, avx2::matmul_q8);
  override_f32(&t, avx2::matmul_f32);
  t.rms_norm = avx2::rms_norm;
  t.rms_norm_quantize = avx2::rms_norm_quantize;
  t.layer_norm = avx2::layer_norm;
  t.rope = avx2::rope;
  t.gated = avx2::gated;
  t.gated_quantize = avx2::gated_quantize;
  t.kv_append = avx2::kv_append;
  t.attention = avx2::attention;
  t.add = avx2::add;
  t.block_max = avx2::block_max;
  return t;
}

KernelTable make_avx512(const KernelTable& base) {
  KernelTable t = base;
  t.name = "avx512";
  t.quantize_q8 = avx512::quantize_q8;
  override_f32(&t, avx512::matmul_f32);
  t.rms_norm = avx512::rms_norm;
  t.rms_norm_quantize = avx512::rms_norm_quantize;
  t.layer_norm = avx512::layer_norm;
  t.rope = avx512::rope;
  t.gated = avx512::gated;
  t.gated_quantize = avx512::gated_quantize;
  t.kv_append = avx512::kv_append;
  t.attention = avx512::attention;
  t.add = avx512::add;
  t.block_max = avx512::block_max;
  return t;
}

KernelTable make_avx512_vnni(const KernelTable& base) {
  KernelTable t = base;
  t.name = "avx512_vnni";
  override_q8(&t, avx512::matmul_q8_vnni);
  return t;
}

KernelTable make_avx512_bf16(const KernelTable& base) {
  KernelTable t = base;
  t.name = "avx512_bf16";
  override_f32(&t, avx512::matmul_bf16);
  t.attention = avx512::attention_bf16;
  return t;
}

KernelTable make_amx(const KernelTable& base) {
  KernelTable t = base;
  t.name = "amx";
  override_matmul(t.matmul_q8, t.matmul_q8_name, amx::matmul_q8, t.name);  // fewer rows than a tile has: as before
  t.matmul_float_name[static_cast<int>(PackedLayout::kBF16)] = t.name;
  t.round_bf16 = amx::round_bf16;
  t.matmul_bf16 = amx::matmul_bf16;
  return t;
}
#endif

// All tables this processor runs, best first.
struct Tables {
  KernelTable table[8];
  int count = 0;

  Tables() {
    const CpuFeatures& f = cpu_features();
    KernelTable built[8];
    int n = 0;
    built[n++] = make_reference();
#ifdef FASTSERVE_X86_KERNELS
    if (f.avx2 && f.fma && f.f16c) built[n] = make_avx2(built[n - 1]), ++n;
    if (f.avx512) built[n] = make_avx512(built[n - 1]), ++n;
    if (f.avx512_vnni) built[n] = make_avx512_vnni(built[n - 1]), ++n;
    if (f.avx512_vnni && f.avx512_bf16) built[n] = make_avx512_bf16(built[n - 1]), ++n;
    if (f.avx512_bf16 && f.amx_int8 && f.amx_bf16 && request_tiles()) built[n] = make_amx(built[n - 1]), ++n;
#else
    (void)f;
#endif
    for (int i = 0; i < n; ++i) table[i] = built[n - 1 - i];
    count = n;
  }
};

const Tables& tables() {
  static const Tables all;
  return all;
}

}  // namespace

const KernelTable& best_cpu_table() { return tables().table[0]; }
const KernelTable& reference_cpu_table() { return tables().table[tables().count - 1]; }

int runnable_cpu_tables(const KernelTable** out, int capacity) {
  const int n = tables().count < capacity ? tables().count : capacity;
  for (int i = 0; i < n; ++i) out[i] = &tables().table[i];
  return n;
}

}  // namespace fastserve::kernels
