// JSON: a parsed document and cheap views into it, over Boost.JSON, which no other file sees. For writing see
// json_writer.h.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fastserve::json {

enum class Kind : uint32_t { kAbsent = 0, kNull, kBool, kNumber, kString, kArray, kObject };

// A view of a value inside a Document, which must outlive it. Look-ups never fail: what is not there is absent, and an
// absent value has no members, no elements and no content.
class Value {
 public:
  Value() = default;
  Kind kind() const;
  bool present() const { return kind() != Kind::kAbsent; }
  bool is_object() const { return kind() == Kind::kObject; }
  bool is_array() const { return kind() == Kind::kArray; }

  Value operator[](std::string_view key) const;  // member of an object
  size_t size() const;                           // elements of an array, members of an object, else 0
  Value at(size_t index) const;                  // element, or value of a member, in file order
  std::string_view key(size_t index) const;      // of a member

  std::optional<bool> boolean() const;
  std::optional<int64_t> integer() const;  // also a number written as 4096.0
  bool written_as_integer() const;         // a number without fraction and exponent that fits in 64 bits
  std::optional<double> number() const;
  std::optional<std::string_view> string() const;

 private:
  friend class Document;
  explicit Value(const void* value) : value_(value) {}
  const void* value_ = nullptr;
};

class Document {
 public:
  Document();
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();
  Value root() const;

 private:
  friend Result<Document> parse(std::string_view text, std::string_view name, uint32_t depth_max);
  struct Storage;
  std::unique_ptr<Storage> storage_;
};

// Strict JSON in UTF-8; of members with one name the last counts. kCorrupt gives `name`, line and column.
Result<Document> parse(std::string_view text, std::string_view name, uint32_t depth_max = 64);

}  // namespace fastserve::json
