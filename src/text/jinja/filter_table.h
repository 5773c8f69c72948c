// Filters by name. Each file of filters has one table; filter_table.cpp looks through them.
#pragma once
#include <span>
#include <string_view>

#include "text/jinja/evaluator.h"
#include "text/jinja/parameters.h"

namespace fastserve::jinja {

using Filter = Value (*)(Evaluator& evaluator, const Value& input, Arguments& arguments);
struct FilterEntry {
  std::string_view name;
  Filter filter;
};
std::span<const FilterEntry> text_filters();       // filters_text.cpp
std::span<const FilterEntry> number_filters();     // filters_number.cpp
std::span<const FilterEntry> sequence_filters();   // filters_sequence.cpp
std::span<const FilterEntry> selection_filters();  // filters_selection.cpp: map, select, sort, group ...

using Test = bool (*)(Evaluator& evaluator, const Value& input, Arguments& arguments);
// Null where there is no test of that name.
Test find_test(std::string_view name);

}  // namespace fastserve::jinja
