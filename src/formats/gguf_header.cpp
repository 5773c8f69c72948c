// Parser of GGUF v2 and v3 headers (specification: ggml, docs/gguf.md).
#include "formats/gguf_header.h"

#include <algorithm>
#include <bit>

#include "base/format.h"
#include "tensor/dtype.h"

namespace fastserve {
namespace {

constexpr uint64_t kKeyBytesMax = 65535;
constexpr uint64_t kTensorNameBytesMax = 1024;
constexpr uint64_t kElementCountMax = uint64_t{1} << 50;  // leaves room for eight bytes each
constexpr uint64_t kAlignmentMax = uint64_t{1} << 24;
constexpr uint64_t kKeyFileBytesMin = 8 + 1 + 4 + 1;  // what the smallest entry of each table takes
constexpr uint64_t kTensorFileBytesMin = 8 + 1 + 4 + 4 + 8;
constexpr uint64_t kStringsInPart = 256;
constexpr uint64_t kTextBytesUsual = 8;  // of a token

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

}  // namespace

// kNone for numbers that GGUF does not define.
GgufHeaderParser::ValueKind GgufHeaderParser::kind_of(uint32_t number) {
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

GgufHeaderParser::GgufHeaderParser(os::File& file, const GgufLimits& limits)
    : file_(file), limits_(limits), reader_(file) {}

Result<bool> GgufHeaderParser::step() {
  const uint64_t end = reader_.offset() + kStepBytes;
  do {
    const Stage stage = stage_;
    FSV_TRY(advance());
    if (stage_ == Stage::kDone) return true;
    if (stage != stage_) break;
  } while (reader_.offset() < end);
  return false;
}

// Moves on by one entry, tensor or part of an array.
Status GgufHeaderParser::advance() {
  switch (stage_) {
    case Stage::kPreamble:
      FSV_TRY(parse_preamble());
      header_.metadata.reserve(static_cast<size_t>(key_count_));
      header_.tensors.reserve(static_cast<size_t>(tensor_count_));
      stage_ = Stage::kEntries;
      break;
    case Stage::kEntries:
      if (array_left_ != 0) return parse_elements(header_.metadata.back().second);
      if (header_.metadata.size() < key_count_) return parse_entry();
      stage_ = Stage::kTensors;
      break;
    case Stage::kTensors:
      if (header_.tensors.size() < tensor_count_) return parse_tensor();
      stage_ = Stage::kPlaces;
      break;
    case Stage::kPlaces:
      FSV_TRY(place_tensors());
      stage_ = Stage::kDone;
      break;
    case Stage::kDone:
      break;
  }
  return {};
}

// Counts memory that metadata takes, before it is allocated.
Status GgufHeaderParser::charge(uint64_t size_bytes) {
  if (size_bytes > limits_.metadata_bytes - metadata_bytes_) {
    return reader_.error(StatusCode::kUnsupported, reader_.offset(),
                         format("the metadata needs more than ", limits_.metadata_bytes, " bytes of memory"));
  }
  metadata_bytes_ += size_bytes;
  return {};
}

Status GgufHeaderParser::parse_count(std::string_view what, uint64_t count_max, uint64_t file_bytes_min,
                                     uint64_t& count) {
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

Status GgufHeaderParser::parse_preamble() {
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

Status GgufHeaderParser::parse_entry() {
  const uint64_t begin = reader_.offset();
  std::string name;
  FSV_TRY(reader_.read_string("metadata key", kKeyBytesMax, name));
  if (name.empty()) return corrupt(begin, "a metadata key is empty");
  what_ = format("value of ", quoted_name(name));
  FSV_ASSIGN(const uint32_t number, reader_.read<uint32_t>(what_));
  const ValueKind kind = kind_of(number);
  const uint64_t value_begin = reader_.offset();
  if (kind.type == MetaType::kNone) return corrupt(value_begin - 4, format(what_, " has the unknown type ", number));
  auto& [key, value] = header_.metadata.emplace_back(std::move(name), MetaValue());
  value.type = kind.type;
  if (kind.type == MetaType::kArray) {
    FSV_TRY(begin_array(value));
  } else if (kind.type == MetaType::kString) {
    FSV_TRY(reader_.read_string(what_, limits_.metadata_bytes - metadata_bytes_, value.string_value));
    FSV_TRY(charge(value.string_value.size()));
  } else {
    FSV_TRY(parse_scalar(kind, value));
  }
  return key == "general.alignment" ? check_alignment(value, value_begin) : Status();
}

Status GgufHeaderParser::parse_scalar(ValueKind kind, MetaValue& value) {
  const uint64_t begin = reader_.offset();
  const uint8_t* bytes = nullptr;
  FSV_TRY(reader_.view(kind.size_bytes, what_, &bytes));
  if (kind.type == MetaType::kBool && bytes[0] > 1) return corrupt(begin, format(what_, " is no boolean"));
  if (kind.type == MetaType::kUint) value.uint_value = load_unsigned(bytes, kind.size_bytes);
  if (kind.type == MetaType::kInt) value.int_value = load_signed(bytes, kind.size_bytes);
  if (kind.type == MetaType::kFloat) value.float_value = load_float(bytes, kind.size_bytes);
  if (kind.type == MetaType::kBool) value.bool_value = bytes[0] != 0;
  return {};
}

Status GgufHeaderParser::check_alignment(const MetaValue& value, uint64_t value_begin) {
  alignment_ = value.uint_value;
  if (value.type == MetaType::kUint && std::has_single_bit(alignment_) && alignment_ <= kAlignmentMax) return {};
  return corrupt(value_begin, format(what_, " must be a power of two up to ", kAlignmentMax));
}

// Takes the memory for an array's elements, which parse_elements() reads.
Status GgufHeaderParser::begin_array(MetaValue& value) {
  const uint64_t begin = reader_.offset();
  FSV_ASSIGN(const uint32_t number, reader_.read<uint32_t>(what_));
  FSV_ASSIGN(const uint64_t count, reader_.read<uint64_t>(what_));
  const ValueKind kind = kind_of(number);
  value.element_type = kind.type;
  if (kind.type == MetaType::kNone) return corrupt(begin, format(what_, " has elements of the unknown type ", number));
  if (kind.type == MetaType::kArray) {
    return reader_.error(StatusCode::kUnsupported, begin, format(what_, " is an array of arrays"));
  }
  const bool strings = kind.type == MetaType::kString;
  if (count > reader_.remaining() / (strings ? 8 : kind.size_bytes)) {
    return corrupt(begin + 4, format(what_, ": ", count, " elements do not fit the ", reader_.remaining(),
                                     " bytes left of the file"));
  }
  if (count > limits_.array_size) {
    return reader_.error(StatusCode::kUnsupported, begin + 4,
                         format(what_, " has ", count, " elements, more than ", limits_.array_size));
  }
  const auto size = static_cast<size_t>(count);
  FSV_TRY(charge(count * (strings ? sizeof(uint32_t) : 8)));
  if (strings) {
    // Usual texts fit, so that the table is not copied as it grows.
    const uint64_t bytes = std::min(count * kTextBytesUsual, limits_.metadata_bytes - metadata_bytes_);
    value.strings.reserve(size, static_cast<size_t>(std::min(bytes, reader_.remaining() - 8 * count)));
  } else if (kind.type == MetaType::kFloat) {
    value.floats.reserve(size);
  } else {
    value.integers.reserve(size);
  }
  element_kind_ = kind;
  array_left_ = count;
  return {};
}

Status GgufHeaderParser::parse_elements(MetaValue& value) {
  const bool strings = element_kind_.type == MetaType::kString;
  const uint64_t step = strings ? kStringsInPart : BufferedReader::kViewBytesMax / element_kind_.size_bytes;
  const uint64_t count = std::min(array_left_, step);
  array_left_ -= count;
  return strings ? parse_strings(count, value.strings) : parse_scalars(count, value);
}

Status GgufHeaderParser::parse_strings(uint64_t count, StringTable& strings) {
  for (; count != 0; --count) {
    FSV_TRY(reader_.read_string(what_, limits_.metadata_bytes - metadata_bytes_, text_));
    FSV_TRY(charge(text_.size()));
    strings.push_back(text_);
  }
  return {};
}

// As many as one view of the reader holds.
Status GgufHeaderParser::parse_scalars(uint64_t count, MetaValue& value) {
  const ValueKind kind = element_kind_;
  const uint64_t begin = reader_.offset();
  const uint8_t* bytes = nullptr;
  FSV_TRY(reader_.view(static_cast<size_t>(count) * kind.size_bytes, what_, &bytes));
  for (uint64_t i = 0; i < count; ++i, bytes += kind.size_bytes) {
    if (kind.type == MetaType::kFloat) {
      value.floats.push_back(load_float(bytes, kind.size_bytes));
    } else if (kind.type == MetaType::kInt) {
      value.integers.push_back(load_signed(bytes, kind.size_bytes));
    } else {
      const uint64_t number = load_unsigned(bytes, kind.size_bytes);
      if (number > (kind.type == MetaType::kBool ? 1 : uint64_t{INT64_MAX})) {
        return corrupt(begin + i * kind.size_bytes, format(what_, ": element out of range"));
      }
      value.integers.push_back(static_cast<int64_t>(number));
    }
  }
  return {};
}

Status GgufHeaderParser::parse_tensor() {
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
Status GgufHeaderParser::place_tensors() {
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

Status GgufHeaderParser::check_overlaps() const {
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

Result<GgufHeader> parse_gguf_header(os::File& file, const GgufLimits& limits) {
  GgufHeaderParser parser(file, limits);
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, parser.step());
  }
  return parser.take();
}

}  // namespace fastserve
