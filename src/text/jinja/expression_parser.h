// Expressions of the template language, by recursive descent.
#pragma once
#include "text/jinja/jinja_ast.h"
#include "text/jinja/token_stream.h"

namespace fastserve::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& stream) : stream_(stream) {}

  // An expression; `with_condition` false: without `x if y else z` at its top.
  ExpressionPointer parse(bool with_condition = true);
  // One or several separated by commas (then a tuple). Ends before `stop_name` too, if given.
  ExpressionPointer parse_tuple(bool with_condition, std::string_view stop_name = {}, bool parenthesised = false);
  // A name, names in a tuple; a namespace's attribute where `with_namespace`.
  ExpressionPointer parse_target(bool with_namespace, std::string_view stop_name = {});
  // A name alone, as macro parameters are.
  ExpressionPointer parse_target_name();
  // `name(arguments)|name ...` as filter blocks and block sets have it: children[0] of the innermost is null.
  ExpressionPointer parse_filter_chain();
  // Which of the names that macros get by themselves were read since `seen` was cleared.
  MacroNames seen;
  // The rest of a call, at its parenthesis.
  ExpressionPointer parse_call(ExpressionPointer callee);

 private:
  ExpressionPointer parse_or();
  ExpressionPointer parse_and();
  ExpressionPointer parse_not();
  ExpressionPointer parse_compare();
  ExpressionPointer parse_sum();
  ExpressionPointer parse_concat();
  ExpressionPointer parse_product();
  ExpressionPointer parse_power();
  ExpressionPointer parse_unary(bool with_filter);
  ExpressionPointer parse_primary();
  ExpressionPointer parse_name_or_constant();
  ExpressionPointer parse_number();
  ExpressionPointer parse_list();
  ExpressionPointer parse_dict();
  ExpressionPointer parse_postfix(ExpressionPointer node);
  ExpressionPointer parse_subscript(ExpressionPointer node);
  ExpressionPointer parse_one_subscript(ExpressionPointer node);
  ExpressionPointer parse_filters_and_tests(ExpressionPointer node);
  ExpressionPointer parse_filter(ExpressionPointer node);
  ExpressionPointer parse_test(ExpressionPointer node);
  void parse_arguments(CallArguments& arguments);
  bool tuple_ends(std::string_view stop_name) const;
  bool argument_follows_test() const;

  ExpressionPointer make(ExpressionKind kind) const;
  // Adds a child (may be null) and keeps the depth.
  void add(Expression& parent, ExpressionPointer child) const;
  void deepen(Expression& parent, const ExpressionPointer& child) const;
  ExpressionPointer binary(std::string name, ExpressionPointer left, ExpressionPointer right) const;

  // Counts native recursion; fails when it is too deep.
  struct Nesting {
    explicit Nesting(ExpressionParser& owner);
    ~Nesting() { --parser.nesting_; }
    ExpressionParser& parser;
  };

  TokenStream& stream_;
  uint32_t nesting_ = 0;
};

}  // namespace fastserve::jinja
