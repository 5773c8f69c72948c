// Runs a template's tree: bounded in steps, depth and output, with nothing of the machine in reach.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/jinja_ast.h"
#include "text/jinja/loop_object.h"

namespace fastserve::jinja {

struct EvaluationLimits {
  uint64_t steps = 5'000'000;        // one for each node run, and for every 64 values or 512 bytes looked at
  uint64_t text_bytes = 256u << 20;  // made in all, results of every operation counted
  uint32_t depth = 400;              // of expressions, blocks and macro calls in one another
};

struct Scope {
  std::vector<std::pair<std::string_view, Value>> variables;  // names live in the tree or are literals
  std::shared_ptr<Scope> parent;

  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

class Evaluator {
 public:
  // `globals`: names and values that the template sees; the names must outlive the evaluator. `now_seconds`: since
  // 1970, of strftime_now.
  Evaluator(std::vector<std::pair<std::string_view, Value>> globals, int64_t now_seconds, EvaluationLimits limits);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // Fails with TemplateFailure, its line set.
  TrackedText run(const Body& body);

  // For filters, tests, methods and globals.
  void charge_steps(uint64_t count);
  void charge_value(const Value& value) { charge_steps(1 + value.weight() / 64); }
  // Accounts for a text about to be made.
  void charge_text(uint64_t size_bytes);
  Value call(const Value& callee, Arguments& arguments);
  Value apply_filter(std::string_view name, const Value& input, Arguments& arguments);
  bool apply_test(std::string_view name, const Value& input, Arguments& arguments);
  // value.name and value[key], as Jinja's sandbox looks them up; undefined where there is nothing.
  Value attribute(const Value& value, std::string_view name);
  Value item(const Value& value, const Value& key);
  Value make_namespace(std::vector<std::pair<std::string, Value>> attributes);
  int64_t now_seconds() const { return now_seconds_; }

 private:
  friend struct DepthGuard;
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  // expressions.cpp
  Value evaluate(const Expression& node);
  Value evaluate_kind(const Expression& node);
  Value evaluate_name(const Expression& node);
  Value evaluate_dict(const Expression& node);
  Value evaluate_slice(const Expression& node);
  Value evaluate_call(const Expression& node, const Value* caller);
  Value evaluate_filter(const Expression& node, const Value* input);
  Value evaluate_test(const Expression& node);
  Value evaluate_compare(const Expression& node);
  Value evaluate_concat(const Expression& node);
  std::vector<Value> evaluate_all(const std::vector<ExpressionPointer>& nodes);
  Arguments evaluate_arguments(const CallArguments& nodes);

  // statements.cpp
  Flow execute(const Body& body);
  Flow execute_one(const Statement& statement);
  Flow execute_if(const Statement& statement);
  Flow execute_for(const Statement& statement);
  void run_loop(const Statement& statement, const Value& iterable, size_t depth0);
  std::vector<Value> select_items(const Statement& statement, const Value& iterable);
  void execute_with(const Statement& statement);
  void execute_call_block(const Statement& statement);
  Value make_macro(const Statement& statement);
  Value call_macro(const Statement& statement, const std::shared_ptr<Scope>& closure, Arguments& arguments);
  void bind_parameters(const Statement& statement, Arguments& arguments);
  // Runs a body in a scope of its own and gives back what it writes.
  TrackedText capture(const Body& body);
  void assign(const Expression& target, Value value);
  void write(const Value& value);

  void push_scope();
  void pop_scope() { scope_ = scope_->parent; }

  EvaluationLimits limits_;
  uint64_t steps_ = 0;
  uint64_t text_bytes_ = 0;
  uint32_t depth_ = 0;
  size_t line_ = 1;
  int64_t now_seconds_;
  std::shared_ptr<Scope> scope_;
  TrackedText* output_ = nullptr;
  // What may take part in cycles (closures, namespaces): emptied at the end, one by one, without recursion.
  std::vector<std::shared_ptr<Scope>> captured_scopes_;
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
};

// operators.cpp: Python's arithmetic on values.
Value apply_binary(Evaluator& evaluator, std::string_view name, const Value& left, const Value& right);
Value negate(const Value& value);
Value slice_value(Evaluator& evaluator, const Value& value, const Value* start, const Value* stop, const Value* step);
// printf_format.cpp: text % values. str_format.cpp: text.format(...).
TrackedText format_percent(Evaluator& evaluator, const TrackedText& text, const Value& values);
TrackedText format_braces(Evaluator& evaluator, const TrackedText& text, const Arguments& arguments);
// text_methods.cpp, container_methods.cpp: a bound method of the value's type; undefined where there is none.
Value find_text_method(const Value& value, std::string_view name);
Value find_container_method(const Value& value, std::string_view name);
// template_globals.cpp
void add_builtin_globals(std::vector<std::pair<std::string_view, Value>>& globals);
// json_dumps.cpp: json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  const std::string* indent = nullptr;  // one step; null: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
TrackedText to_json(const Value& value, const JsonStyle& style);
// template_time.cpp: datetime.strftime in the C locale and UTC.
std::string format_time(int64_t unix_seconds, std::string_view pattern);

}  // namespace fastserve::jinja
