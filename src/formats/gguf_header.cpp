// Parser of GGUF v2 and v3 headers (specification: ggml, docs/gguf.md).
#include "formats/gguf_header.h"

#include <algorithm>
#include <bit>

#include "base/format.h"
#include "formats/buffered_reader.h"
#include "tensor/dtype.h"

namespace fastserve {
namespace {

constexpr uint64_t kKeyBytesMax = 65535;
constexpr uint64_t kTensorNameBytesMax = 1024;
constexpr uint64_t kElementCountMax = uint64_t{1} << 50;  // leaves room for eight bytes each
constexpr uint64_t kAlignmentMax = uint64_t{1} << 24;
constexpr uint64_t kKeyFileBytesMin = 8 + 1 + 4 + 1;  // what the smallest entry of each table takes
constexpr uint64_t kTensorFileBytesMin = 8 + 1 + 4 + 4 + 8;

enum class GgufValue : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

struct ValueKind {
  size_t size_bytes;  // 0: no scalar
  MetaType type;
};

// kNone for numbers that GGUF does not define.
ValueKind kind_of(uint32_t number) {
  switch (static_cast<GgufValue>(number)) {
    case GgufValue::kUint8:
      return {1, MetaType::kUint};
    case GgufValue::kUint16:
      return {2, MetaType::kUint};
    case GgufValue::kUint32:
      return {4, MetaType::kUint};
    case GgufValue::kUint64:
      return {8, MetaType::kUint};
    case GgufValue::kInt8:
      return {1, MetaType::kInt};
    case GgufValue::kInt16:
      return {2, MetaType::kInt};
    case GgufValue::kInt32:
      return {4, MetaType::kInt};
    case GgufValue::kInt64:
      return {8, MetaType::kInt};
    case GgufValue::kFloat32:
      return {4, MetaType::kFloat};
    case GgufValue::kFloat64:
      return {8, MetaType::kFloat};
    case GgufValue::kBool:
      return {1, MetaType::kBool};
    case GgufValue::kString:
      return {0, MetaType::kString};
    case GgufValue::kArray:
      return {0, MetaType::kArray};
  }
  return {0, MetaType::kNone};
}

uint64_t load_unsigned(const uint8_t* bytes, size_t size_bytes) {
  switch (size_bytes) {
    case 1:
      return bytes[0];
    case 2:
      return load_little_endian<uint16_t>(bytes);
    case 4:
      return load_little_endian<uint32_t>(bytes);
    default:
      return load_little_endian<uint64_t>(bytes);
  }
}

int64_t load_signed(const uint8_t* bytes, size_t size_bytes) {
  const auto shift = static_cast<unsigned>(64 - 8 * size_bytes);
  return static_cast<int64_t>(load_unsigned(bytes, size_bytes) << shift) >> shift;
}

double load_float(const uint8_t* bytes, size_t size_bytes) {
  if (size_bytes == 4) return static_cast<double>(std::bit_cast<float>(load_little_endian<uint32_t>(bytes)));
  return std::bit_cast<double>(load_little_endian<uint64_t>(bytes));
}

class HeaderParser {
 public:
  HeaderParser(os::File& file, const GgufLimits& limits) : file_(file), limits_(limits), reader_(file) {}

  Result<GgufHeader> parse() {
    FSV_TRY(parse_preamble());
    header_.metadata.reserve(static_cast<size_t>(key_count_));
    for (uint64_t i = 0; i < key_count_; ++i) FSV_TRY(parse_entry());
    header_.tensors.reserve(static_cast<size_t>(tensor_count_));
    for (uint64_t i = 0; i < tensor_count_; ++i) FSV_TRY(parse_tensor());
    FSV_TRY(place_tensors());
    return std::move(header_);
  }

 private:
  Status parse_preamble();
  Status parse_count(std::string_view what, uint64_t count_max, uint64_t file_bytes_min, uint64_t& count);
  Status parse_entry();
  Status parse_array(const std::string& what, MetaValue& value);
  Status parse_scalar_array(const std::string& what, uint64_t count, ValueKind kind, MetaValue& value);
  Status parse_tensor();
  Status place_tensors();
  Status check_overlaps() const;
  Status charge(uint64_t size_bytes);
  Status corrupt(uint64_t offset, std::string_view text) const {
    return reader_.error(StatusCode::kCorrupt, offset, text);
  }

  os::File& file_;
  const GgufLimits limits_;
  BufferedReader reader_;
  GgufHeader header_;
  uint64_t tensor_count_ = 0, key_count_ = 0;
  uint64_t metadata_bytes_ = 0;
  uint64_t alignment_ = 32;
};

// Counts memory that metadata takes, before it is allocated.
Status HeaderParser::charge(uint64_t size_bytes) {
  if (size_bytes > limits_.metadata_bytes - metadata_bytes_) {
    return reader_.error(StatusCode::kUnsupported, reader_.offset(),
                         format("the metadata needs more than ", limits_.metadata_bytes, " bytes of memory"));
  }
  metadata_bytes_ += size_bytes;
  return {};
}

Status HeaderParser::parse_count(std::string_view what, uint64_t count_max, uint64_t file_bytes_min, uint64_t& count) {
  const uint64_t begin = reader_.offset();
  FSV_ASSIGN(count, reader_.read<uint64_t>(what));
  if (count > reader_.remaining() / file_bytes_min) {
    return corrupt(begin, format(what, " ", count, " does not fit the ", reader_.remaining(), " bytes left"));
  }
  if (count > count_max) {
    return reader_.error(StatusCode::kUnsupported, begin, format(what, " ", count, " is above ", count_max));
  }
  return {};
}

Status HeaderParser::parse_preamble() {
  const uint8_t* magic = nullptr;
  FSV_TRY(reader_.view(4, "the file's magic number", &magic));
  if (std::memcmp(magic, "GGUF", 4) != 0) return reader_.error(StatusCode::kUnsupported, 0, "this is no GGUF file");
  FSV_ASSIGN(header_.version, reader_.read<uint32_t>("version"));
  if (header_.version != 0 && (header_.version & 0xffffu) == 0) {
    return reader_.error(StatusCode::kUnsupported, 4, "this GGUF file is big-endian; only little-endian ones are read");
  }
  if (header_.version != 2 && header_.version != 3) {
    return reader_.error(StatusCode::kUnsupported, 4,
                         format("GGUF version ", header_.version, " is not known; versions 2 and 3 are"));
  }
  FSV_TRY(parse_count("tensor count", limits_.tensor_count, kTensorFileBytesMin, tensor_count_));
  FSV_TRY(parse_count("metadata count", limits_.key_count, kKeyFileBytesMin, key_count_));
  return charge(key_count_ * sizeof(MetaEntry) + tensor_count_ * sizeof(TensorInfo));
}

Status HeaderParser::parse_entry() {
  MetaEntry entry;
  auto& [key, value] = entry;
  const uint64_t begin = reader_.offset();
  FSV_TRY(reader_.read_string("metadata key", kKeyBytesMax, key));
  if (key.empty()) return corrupt(begin, "a metadata key is empty");
  const std::string what = format("value of ", quoted_name(key));
  FSV_ASSIGN(const uint32_t number, reader_.read<uint32_t>(what));
  const ValueKind kind = kind_of(number);
  value.type = kind.type;
  const uint64_t value_begin = reader_.offset();
  if (kind.type == MetaType::kNone) return corrupt(value_begin - 4, format(what, " has the unknown type ", number));
  if (kind.type == MetaType::kArray) {
    FSV_TRY(parse_array(what, value));
  } else if (kind.type == MetaType::kString) {
    FSV_TRY(reader_.read_string(what, limits_.metadata_bytes - metadata_bytes_, value.string_value));
    FSV_TRY(charge(value.string_value.size()));
  } else {
    const uint8_t* bytes = nullptr;
    FSV_TRY(reader_.view(kind.size_bytes, what, &bytes));
    if (kind.type == MetaType::kBool && bytes[0] > 1) return corrupt(value_begin, format(what, " is no boolean"));
    if (kind.type == MetaType::kUint) value.uint_value = load_unsigned(bytes, kind.size_bytes);
    if (kind.type == MetaType::kInt) value.int_value = load_signed(bytes, kind.size_bytes);
    if (kind.type == MetaType::kFloat) value.float_value = load_float(bytes, kind.size_bytes);
    if (kind.type == MetaType::kBool) value.bool_value = bytes[0] != 0;
  }
  if (key == "general.alignment") {
    alignment_ = value.uint_value;
    if (kind.type != MetaType::kUint || !std::has_single_bit(alignment_) || alignment_ > kAlignmentMax) {
      return corrupt(value_begin, format(what, " must be a power of two up to ", kAlignmentMax));
    }
  }
  header_.metadata.push_back(std::move(entry));
  return {};
}

Status HeaderParser::parse_array(const std::string& what, MetaValue& value) {
  const uint64_t begin = reader_.offset();
  FSV_ASSIGN(const uint32_t number, reader_.read<uint32_t>(what));
  FSV_ASSIGN(const uint64_t count, reader_.read<uint64_t>(what));
  const ValueKind kind = kind_of(number);
  value.element_type = kind.type;
  if (kind.type == MetaType::kNone) return corrupt(begin, format(what, " has elements of the unknown type ", number));
  if (kind.type == MetaType::kArray) {
    return reader_.error(StatusCode::kUnsupported, begin, format(what, " is an array of arrays"));
  }
  const bool strings = kind.type == MetaType::kString;
  if (count > reader_.remaining() / (strings ? 8 : kind.size_bytes)) {
    return corrupt(begin + 4, format(what, ": ", count, " elements do not fit the ", reader_.remaining(),
                                     " bytes left of the file"));
  }
  if (count > limits_.array_size) {
    return reader_.error(StatusCode::kUnsupported, begin + 4,
                         format(what, " has ", count, " elements, more than ", limits_.array_size));
  }
  FSV_TRY(charge(count * (strings ? sizeof(std::string) : 8)));
  if (!strings) return parse_scalar_array(what, count, kind, value);
  value.strings.resize(static_cast<size_t>(count));
  for (std::string& text : value.strings) {
    FSV_TRY(reader_.read_string(what, limits_.metadata_bytes - metadata_bytes_, text));
    FSV_TRY(charge(text.size()));
  }
  return {};
}

Status HeaderParser::parse_scalar_array(const std::string& what, uint64_t count, ValueKind kind, MetaValue& value) {
  const size_t step = BufferedReader::kViewBytesMax / kind.size_bytes;
  if (kind.type == MetaType::kFloat) {
    value.floats.reserve(static_cast<size_t>(count));
  } else {
    value.integers.reserve(static_cast<size_t>(count));
  }
  while (count != 0) {
    const uint64_t begin = reader_.offset();
    const auto taken = static_cast<size_t>(std::min<uint64_t>(count, step));
    const uint8_t* bytes = nullptr;
    FSV_TRY(reader_.view(taken * kind.size_bytes, what, &bytes));
    for (size_t i = 0; i < taken; ++i, bytes += kind.size_bytes) {
      if (kind.type == MetaType::kFloat) {
        value.floats.push_back(load_float(bytes, kind.size_bytes));
      } else if (kind.type == MetaType::kInt) {
        value.integers.push_back(load_signed(bytes, kind.size_bytes));
      } else {
        const uint64_t number = load_unsigned(bytes, kind.size_bytes);
        if (number > (kind.type == MetaType::kBool ? 1 : uint64_t{INT64_MAX})) {
          return corrupt(begin + i * kind.size_bytes, format(what, ": element out of range"));
        }
        value.integers.push_back(static_cast<int64_t>(number));
      }
    }
    count -= taken;
  }
  return {};
}

Status HeaderParser::parse_tensor() {
  TensorInfo tensor;
  const uint64_t begin = reader_.offset();
  FSV_TRY(reader_.read_string("tensor name", kTensorNameBytesMax, tensor.name));
  const std::string what = format("tensor ", quoted_name(tensor.name));
  if (tensor.name.empty()) return corrupt(begin, "a tensor's name is empty");
  FSV_TRY(charge(tensor.name.size()));
  FSV_ASSIGN(tensor.dimension_count, reader_.read<uint32_t>(what));
  if (tensor.dimension_count > 4) {
    return corrupt(begin, format(what, " has ", tensor.dimension_count, " dimensions; up to 4 are possible"));
  }
  uint64_t elements = 1;
  for (uint32_t i = 0; i < tensor.dimension_count; ++i) {
    FSV_ASSIGN(const uint64_t dimension, reader_.read<uint64_t>(what));
    if (dimension == 0 || dimension > kElementCountMax / elements) {
      return corrupt(begin, format(what, ": dimension ", i, " is ", dimension,
                                   dimension == 0 ? "" : ", which makes the tensor impossibly large"));
    }
    tensor.dimensions[i] = static_cast<int64_t>(dimension);
    elements *= dimension;
  }
  FSV_ASSIGN(tensor.type, reader_.read<uint32_t>(what));
  const auto traits = gguf_type_traits(tensor.type);
  if (!traits.has_value()) {
    return reader_.error(StatusCode::kUnsupported, begin, format(what, " has the unknown type ", tensor.type));
  }
  if (tensor.dimensions[0] % traits->block_elements != 0) {
    return corrupt(begin, format(what, ": rows of ", tensor.dimensions[0], " are no multiple of ", traits->name,
                                 "'s block of ", traits->block_elements));
  }
  tensor.size_bytes =
      elements / static_cast<uint64_t>(traits->block_elements) * static_cast<uint64_t>(traits->block_bytes);
  FSV_ASSIGN(tensor.offset_bytes, reader_.read<uint64_t>(what));
  if (tensor.offset_bytes % alignment_ != 0) {
    return corrupt(begin, format(what, ": its offset ", tensor.offset_bytes, " is not aligned to ", alignment_));
  }
  header_.tensors.push_back(std::move(tensor));
  return {};
}

// Makes offsets absolute and checks that data lies inside the file, each tensor's in a place of its own.
Status HeaderParser::place_tensors() {
  const uint64_t file_bytes = file_.size_bytes();
  const uint64_t data_begin = (reader_.offset() + alignment_ - 1) / alignment_ * alignment_;
  const uint64_t data_bytes = data_begin > file_bytes ? 0 : file_bytes - data_begin;
  for (TensorInfo& tensor : header_.tensors) {
    if (tensor.offset_bytes > data_bytes || tensor.size_bytes > data_bytes - tensor.offset_bytes) {
      return corrupt(data_begin,
                     format("tensor ", quoted_name(tensor.name), " (", tensor.size_bytes, " bytes at data offset ",
                            tensor.offset_bytes, ") passes the end of the file (", file_bytes, " bytes)"));
    }
    tensor.offset_bytes += data_begin;
  }
  return check_overlaps();
}

Status HeaderParser::check_overlaps() const {
  std::vector<const TensorInfo*> order;
  order.reserve(header_.tensors.size());
  for (const TensorInfo& tensor : header_.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset_bytes < b->offset_bytes; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset_bytes - order[i - 1]->offset_bytes < order[i - 1]->size_bytes) {
      return corrupt(order[i]->offset_bytes, format("tensors ", quoted_name(order[i - 1]->name), " and ",
                                                    quoted_name(order[i]->name), " overlap"));
    }
  }
  return {};
}

}  // namespace

Result<GgufHeader> parse_gguf_header(os::File& file, const GgufLimits& limits) {
  return HeaderParser(file, limits).parse();
}

}  // namespace fastserve
