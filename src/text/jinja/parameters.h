// The arguments of one call, matched to the parameter names of a filter, test, method or global.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

class Parameters {
 public:
  // Fails where there are more arguments, or others, than names.
  Parameters(std::string_view function, Arguments& arguments, std::initializer_list<std::string_view> names);

  // Null where the caller gave none.
  const Value* find(size_t index) const { return values_[index]; }
  bool given(size_t index) const { return values_[index] != nullptr; }
  const Value& required(size_t index) const;
  int64_t integer(size_t index, int64_t otherwise) const;
  bool boolean(size_t index, bool otherwise) const { return given(index) ? values_[index]->truthy() : otherwise; }
  // Null where not given or none.
  const TrackedText* text(size_t index) const;
  const TrackedText& required_text(size_t index) const;

 private:
  std::string_view function_;
  std::vector<const Value*> values_;
  std::vector<std::string_view> names_;
};

}  // namespace fastserve::jinja
