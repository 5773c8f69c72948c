// Checked look-ups in config.json, and building of metadata entries.
#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "formats/table_source.h"

namespace fastserve {

// config.json: the keys of "text_config", where there is one, come before those of the root. Null counts as absent.
class HfConfigView {
 public:
  HfConfigView(json::Value root, std::string_view file_name) : root_(root), file_name_(file_name) {}
  // The first of several names that is there.
  json::Value find(std::initializer_list<std::string_view> names) const;
  // An integer from 1 (count_or_zero: 0) to `maximum`. Without a fallback the key must be there.
  Result<int64_t> count(std::initializer_list<std::string_view> names, std::optional<int64_t> fallback,
                        int64_t maximum) const;
  Result<int64_t> count_or_zero(std::initializer_list<std::string_view> names, int64_t fallback, int64_t maximum) const;
  Result<double> real(std::initializer_list<std::string_view> names, double fallback) const;
  Status corrupt(std::string_view text) const;
  Status unsupported(std::string_view text) const;

 private:
  json::Value root_;
  std::string_view file_name_;
};

// Appends entries; names are completed to "<architecture>.<name>" unless stated otherwise.
class HfMetadata {
 public:
  HfMetadata(std::vector<MetaEntry>& entries, std::string_view architecture)
      : entries_(entries), architecture_(architecture) {}
  void number(std::string_view name, int64_t value) { number_of(full(name), value); }
  void number_of(std::string_view key, int64_t value);  // full key
  void real(std::string_view name, double value);       // rounded to float, as GGUF stores it
  void boolean(std::string_view name, bool value);
  void booleans(std::string_view name, const std::vector<bool>& values);
  void integers(std::string_view key, std::vector<int64_t> values);  // full key
  void text(std::string_view key, std::string_view value);           // full key
  void text_of(std::string_view name, std::string_view value) { text(full(name), value); }

 private:
  std::string full(std::string_view name) const;
  std::vector<MetaEntry>& entries_;
  std::string_view architecture_;
};

}  // namespace fastserve
