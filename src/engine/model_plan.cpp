// Which kernels serve a model's tensors on this processor, from its header alone.
#include <algorithm>
#include <cctype>
#include <vector>

#include "base/json_writer.h"
#include "engine/model_facts.h"
#include "kernels/kernel_api.h"
#include "tensor/packing.h"

namespace fastserve {
namespace {

const char* layout_name(PackedLayout layout) {
  static constexpr const char* kNames[] = {"none",   "f32",  "f16",  "bf16", "q8",   "q4",   "q4_min",  "q5",
                                           "q5_min", "q4_k", "q5_k", "q6_k", "q3_k", "q2_k", "q4_table"};
  static_assert(std::size(kNames) == static_cast<size_t>(PackedLayout::kCount));
  return kNames[static_cast<size_t>(layout)];
}

// Tensors that differ in their numbers (of layers, of experts) alone.
struct PlanRow {
  std::string names;  // numbers as *
  uint32_t type = 0;
  std::vector<uint64_t> shape;
  uint64_t count = 0;
  bool is_same(const PlanRow& other) const {
    return names == other.names && type == other.type && shape == other.shape;
  }
};

std::string without_numbers(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool begins_part = i == 0 || name[i - 1] == '.';
    size_t end = i;
    while (begins_part && end < name.size() && std::isdigit(static_cast<unsigned char>(name[end])) != 0) ++end;
    if (end > i && (end == name.size() || name[end] == '.')) {
      out += '*';
      i = end - 1;
    } else {
      out += name[i];
    }
  }
  return out;
}

std::vector<PlanRow> group_tensors(const ModelSource& source) {
  std::vector<PlanRow> rows;
  for (const TensorInfo& tensor : source.tensors()) {
    PlanRow row{without_numbers(tensor.name), tensor.type, {}, 1};
    row.shape.assign(tensor.dimensions, tensor.dimensions + tensor.dimension_count);
    const auto same = std::ranges::find_if(rows, [&](const PlanRow& other) { return other.is_same(row); });
    if (same != rows.end()) {
      ++same->count;
    } else {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

void write_kernels(JsonWriter& json, const kernels::KernelTable& table, PackedLayout layout) {
  const auto index = static_cast<size_t>(layout);
  json.key("layout").value(layout_name(layout));
  if (table.matmul_q8[index] != nullptr) {
    json.key("activations").value("int8");
    json.key("kernel").value(table.matmul_q8_name[index]);
    json.key("kernel_of_few_rows").value(table.matmul_q8_few_name[index]);
    return;
  }
  const bool rounds = layout == PackedLayout::kBF16 && table.matmul_bf16 != nullptr;
  json.key("activations").value(rounds ? "bf16" : "f32");
  json.key("kernel").value(table.matmul_float_name[index]);
  json.key("kernel_of_few_rows").value(table.matmul_float_name[index]);
}

void write_row(JsonWriter& json, const kernels::KernelTable& table, const PlanRow& row) {
  const char* type = gguf_type_name(row.type);
  json.begin_object();
  json.key("tensors").value(row.names);
  json.key("count").value(row.count);
  json.key("type").value(type != nullptr ? type : "unknown");
  json.key("shape").begin_array();
  for (const uint64_t size : row.shape) json.value(size);
  json.end_array();
  const PackedLayout layout = packed_layout_for(static_cast<DType>(row.type));
  if (row.shape.size() < 2) {
    json.key("layout").value("vector");
  } else if (layout == PackedLayout::kNone) {
    json.key("layout").null();
  } else {
    write_kernels(json, table, layout);
  }
  json.end_object();
}

}  // namespace

std::string plan_model_json(const ModelSource& source) {
  const kernels::KernelTable& table = kernels::best_cpu_table();
  JsonWriter json;
  json.begin_object();
  json.key("kernels").value(table.name);
  json.key("plan").begin_array();
  for (const PlanRow& row : group_tensors(source)) write_row(json, table, row);
  json.end_array();
  json.end_object();
  return json.take();
}

}  // namespace fastserve
