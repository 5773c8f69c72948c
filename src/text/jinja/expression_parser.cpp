// Precedence, loosest first: if-else, or, and, not, comparison and in, + -, ~, * / // %, **, unary, postfix, filters.
#include "text/jinja/expression_parser.h"

#include "text/jinja/string_literal.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kNestingMax = 100;  // of brackets and operators in one expression, each about ten native frames
constexpr uint32_t kDepthMax = 200;    // of the tree: also chains such as a + b + c and x|f|g

bool is_comparison(const Token& token) {
  return token.kind == TokenKind::kOperator && (token.text == "==" || token.text == "!=" || token.text == "<" ||
                                                token.text == "<=" || token.text == ">" || token.text == ">=");
}

}  // namespace

ExpressionParser::Nesting::Nesting(ExpressionParser& owner) : parser(owner) {
  if (++parser.nesting_ > kNestingMax) parser.stream_.fail_here("an expression is nested too deep");
}

ExpressionPointer ExpressionParser::make(ExpressionKind kind) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = stream_.line();
  return node;
}

void ExpressionParser::deepen(Expression& parent, const ExpressionPointer& child) const {
  if (child == nullptr) return;
  parent.depth = std::max(parent.depth, child->depth + 1);
  if (parent.depth > kDepthMax) stream_.fail_here("an expression is nested too deep");
}

void ExpressionParser::add(Expression& parent, ExpressionPointer child) const {
  deepen(parent, child);
  parent.children.push_back(std::move(child));
}

ExpressionPointer ExpressionParser::binary(std::string name, ExpressionPointer left, ExpressionPointer right) const {
  ExpressionPointer node = make(ExpressionKind::kBinary);
  node->line = left->line;
  node->name = std::move(name);
  add(*node, std::move(left));
  add(*node, std::move(right));
  return node;
}

ExpressionPointer ExpressionParser::parse(bool with_condition) {
  const Nesting nesting(*this);
  ExpressionPointer result = parse_or();
  while (with_condition && stream_.is_name("if")) {
    ExpressionPointer node = make(ExpressionKind::kConditional);
    stream_.take();
    add(*node, std::move(result));
    add(*node, parse_or());
    add(*node, stream_.skip_name("else") ? parse() : nullptr);
    result = std::move(node);
  }
  return result;
}

ExpressionPointer ExpressionParser::parse_or() {
  ExpressionPointer left = parse_and();
  while (stream_.is_name("or")) {
    ExpressionPointer node = make(ExpressionKind::kOr);
    stream_.take();
    add(*node, std::move(left));
    add(*node, parse_and());
    left = std::move(node);
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_and() {
  ExpressionPointer left = parse_not();
  while (stream_.is_name("and")) {
    ExpressionPointer node = make(ExpressionKind::kAnd);
    stream_.take();
    add(*node, std::move(left));
    add(*node, parse_not());
    left = std::move(node);
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_not() {
  if (!stream_.is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  ExpressionPointer node = make(ExpressionKind::kNot);
  stream_.take();
  add(*node, parse_not());
  return node;
}

ExpressionPointer ExpressionParser::parse_compare() {
  ExpressionPointer first = parse_sum();
  ExpressionPointer node;
  for (;;) {
    std::string name;
    if (is_comparison(stream_.current())) {
      name = stream_.take().text;
    } else if (stream_.skip_name("in")) {
      name = "in";
    } else if (stream_.is_name("not") && stream_.look_ahead().kind == TokenKind::kName &&
               stream_.look_ahead().text == "in") {
      stream_.take();
      stream_.take();
      name = "not in";
    } else {
      return node != nullptr ? std::move(node) : std::move(first);
    }
    if (node == nullptr) {
      node = make(ExpressionKind::kCompare);
      add(*node, std::move(first));
    }
    node->names.push_back(std::move(name));
    add(*node, parse_sum());
  }
}

ExpressionPointer ExpressionParser::parse_sum() {
  ExpressionPointer left = parse_concat();
  while (stream_.is_operator("+") || stream_.is_operator("-")) {
    std::string name = stream_.take().text;
    left = binary(std::move(name), std::move(left), parse_concat());
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_concat() {
  ExpressionPointer first = parse_product();
  if (!stream_.is_operator("~")) return first;
  ExpressionPointer node = make(ExpressionKind::kConcat);
  add(*node, std::move(first));
  while (stream_.skip_operator("~")) add(*node, parse_product());
  return node;
}

ExpressionPointer ExpressionParser::parse_product() {
  ExpressionPointer left = parse_power();
  while (stream_.is_operator("*") || stream_.is_operator("/") || stream_.is_operator("//") ||
         stream_.is_operator("%")) {
    std::string name = stream_.take().text;
    left = binary(std::move(name), std::move(left), parse_power());
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_power() {
  ExpressionPointer left = parse_unary(true);
  while (stream_.skip_operator("**")) left = binary("**", std::move(left), parse_unary(true));
  return left;
}

ExpressionPointer ExpressionParser::parse_unary(bool with_filter) {
  ExpressionPointer node;
  if (stream_.is_operator("-") || stream_.is_operator("+")) {
    const Nesting nesting(*this);
    node = make(stream_.is_operator("-") ? ExpressionKind::kNegate : ExpressionKind::kPlus);
    stream_.take();
    add(*node, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPointer ExpressionParser::parse_primary() {
  switch (stream_.current().kind) {
    case TokenKind::kName:
      return parse_name_or_constant();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    case TokenKind::kString: {
      ExpressionPointer node = make(ExpressionKind::kConstant);
      std::string text;
      while (stream_.is(TokenKind::kString)) text += stream_.take().text;
      node->value = Value::text(text, true);
      return node;
    }
    default:
      break;
  }
  if (stream_.is_operator("[")) return parse_list();
  if (stream_.is_operator("{")) return parse_dict();
  if (stream_.skip_operator("(")) {
    ExpressionPointer node = parse_tuple(true, {}, true);
    stream_.expect_operator(")");
    return node;
  }
  stream_.fail_here(format("unexpected ", stream_.describe()));
}

ExpressionPointer ExpressionParser::parse_name_or_constant() {
  ExpressionPointer node = make(ExpressionKind::kConstant);
  const std::string name = stream_.take().text;
  if (name == "true" || name == "True") {
    node->value = Value::boolean(true);
  } else if (name == "false" || name == "False") {
    node->value = Value::boolean(false);
  } else if (name == "none" || name == "None") {
    node->value = Value::none();
  } else {
    node->kind = ExpressionKind::kName;
    node->name = name;
    seen.varargs |= name == "varargs";
    seen.kwargs |= name == "kwargs";
    seen.caller |= name == "caller";
  }
  return node;
}

ExpressionPointer ExpressionParser::parse_number() {
  ExpressionPointer node = make(ExpressionKind::kConstant);
  const Token token = stream_.take();
  if (token.kind == TokenKind::kFloat) {
    node->value = Value::floating(parse_float(token.text).value_or(0));
    return node;
  }
  if (token.text.find_first_not_of('0') == std::string::npos) {
    node->value = Value::integer(0);
    return node;
  }
  try {
    const auto value = parse_int(token.text, 0);
    // Python has no decimal numbers with leading zeros.
    if (!value.has_value() || (token.text.size() > 1 && token.text[0] == '0' && token.text[1] <= '9')) {
      stream_.fail_here(format("'", token.text, "' is no number"));
    }
    node->value = Value::integer(*value);
  } catch (TemplateFailure& failure) {
    failure.line = token.line;
    throw;
  }
  return node;
}

ExpressionPointer ExpressionParser::parse_list() {
  ExpressionPointer node = make(ExpressionKind::kList);
  stream_.expect_operator("[");
  while (!stream_.is_operator("]")) {
    if (!node->children.empty()) stream_.expect_operator(",");
    if (stream_.is_operator("]")) break;
    add(*node, parse());
  }
  stream_.expect_operator("]");
  return node;
}

ExpressionPointer ExpressionParser::parse_dict() {
  ExpressionPointer node = make(ExpressionKind::kDict);
  stream_.expect_operator("{");
  while (!stream_.is_operator("}")) {
    if (!node->children.empty()) stream_.expect_operator(",");
    if (stream_.is_operator("}")) break;
    add(*node, parse());
    stream_.expect_operator(":");
    add(*node, parse());
  }
  stream_.expect_operator("}");
  return node;
}

bool ExpressionParser::tuple_ends(std::string_view stop_name) const {
  return stream_.is(TokenKind::kVariableEnd) || stream_.is(TokenKind::kBlockEnd) || stream_.is_operator(")") ||
         (!stop_name.empty() && stream_.is_name(stop_name));
}

ExpressionPointer ExpressionParser::parse_tuple(bool with_condition, std::string_view stop_name, bool parenthesised) {
  ExpressionPointer node = make(ExpressionKind::kTuple);
  bool is_tuple = false;
  for (;;) {
    if (!node->children.empty()) stream_.expect_operator(",");
    if (tuple_ends(stop_name)) break;
    add(*node, parse(with_condition));
    if (!stream_.is_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return node;
  if (!node->children.empty()) return std::move(node->children[0]);
  if (!parenthesised) stream_.fail_here(format("expected an expression, got ", stream_.describe()));
  return node;
}

ExpressionPointer ExpressionParser::parse_target_name() {
  ExpressionPointer node = make(ExpressionKind::kName);
  node->name = stream_.expect_any_name();
  for (const std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
    if (node->name == reserved) stream_.fail_here(format("can't assign to '", node->name, "'"));
  }
  return node;
}

ExpressionPointer ExpressionParser::parse_target(bool with_namespace, std::string_view stop_name) {
  ExpressionPointer tuple = make(ExpressionKind::kTuple);
  bool is_tuple = false;
  for (;;) {
    if (stream_.is_operator("(")) {
      const Nesting nesting(*this);
      stream_.take();
      add(*tuple, parse_target(with_namespace));
      stream_.expect_operator(")");
    } else {
      ExpressionPointer node = parse_target_name();
      if (with_namespace && stream_.is_operator(".")) {
        stream_.take();
        ExpressionPointer attribute = make(ExpressionKind::kAttribute);
        attribute->name = stream_.expect_any_name();
        add(*attribute, std::move(node));
        node = std::move(attribute);
      }
      add(*tuple, std::move(node));
    }
    if (!stream_.skip_operator(",")) break;
    is_tuple = true;
    if (stream_.is_operator("=") || tuple_ends(stop_name)) break;
  }
  return is_tuple ? std::move(tuple) : std::move(tuple->children[0]);
}

ExpressionPointer ExpressionParser::parse_postfix(ExpressionPointer node) {
  for (;;) {
    if (stream_.is_operator(".") || stream_.is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPointer ExpressionParser::parse_subscript(ExpressionPointer node) {
  if (stream_.skip_operator("[")) {
    const Nesting nesting(*this);
    node = parse_one_subscript(std::move(node));
    stream_.expect_operator("]");
    return node;
  }
  stream_.expect_operator(".");
  if (stream_.is(TokenKind::kInteger)) {
    ExpressionPointer item = make(ExpressionKind::kItem);
    add(*item, std::move(node));
    add(*item, parse_number());
    return item;
  }
  ExpressionPointer attribute = make(ExpressionKind::kAttribute);
  attribute->name = stream_.expect_any_name();
  add(*attribute, std::move(node));
  return attribute;
}

ExpressionPointer ExpressionParser::parse_one_subscript(ExpressionPointer node) {
  ExpressionPointer first = stream_.is_operator(":") ? nullptr : parse();
  if (!stream_.is_operator(":")) {
    ExpressionPointer item = make(ExpressionKind::kItem);
    add(*item, std::move(node));
    if (stream_.is_operator(",")) {
      ExpressionPointer tuple = make(ExpressionKind::kTuple);
      add(*tuple, std::move(first));
      while (stream_.skip_operator(",")) add(*tuple, parse());
      first = std::move(tuple);
    }
    add(*item, std::move(first));
    return item;
  }
  ExpressionPointer slice = make(ExpressionKind::kSlice);
  add(*slice, std::move(node));
  add(*slice, std::move(first));
  for (int part = 0; part < 2; ++part) {
    const bool present = stream_.skip_operator(":") && !stream_.is_operator("]") && !stream_.is_operator(":");
    add(*slice, present ? parse() : nullptr);
  }
  return slice;
}

ExpressionPointer ExpressionParser::parse_call(ExpressionPointer callee) {
  ExpressionPointer call = make(ExpressionKind::kCall);
  add(*call, std::move(callee));
  parse_arguments(call->arguments);
  for (const auto& argument : call->arguments.positional) deepen(*call, argument);
  for (const auto& [name, argument] : call->arguments.named) deepen(*call, argument);
  deepen(*call, call->arguments.more_positional);
  deepen(*call, call->arguments.more_named);
  return call;
}

void ExpressionParser::parse_arguments(CallArguments& arguments) {
  const Nesting nesting(*this);
  stream_.expect_operator("(");
  bool first = true;
  while (!stream_.is_operator(")")) {
    if (!first) {
      stream_.expect_operator(",");
      if (stream_.is_operator(")")) break;
    }
    first = false;
    if (stream_.skip_operator("**")) {
      arguments.more_named = parse();
    } else if (stream_.skip_operator("*")) {
      arguments.more_positional = parse();
    } else if (stream_.is(TokenKind::kName) && stream_.look_ahead().kind == TokenKind::kOperator &&
               stream_.look_ahead().text == "=") {
      std::string name = stream_.take().text;
      stream_.take();
      arguments.named.emplace_back(std::move(name), parse());
    } else {
      if (!arguments.named.empty() || arguments.more_named != nullptr || arguments.more_positional != nullptr) {
        stream_.fail_here("invalid syntax for function call expression");
      }
      arguments.positional.push_back(parse());
    }
  }
  stream_.expect_operator(")");
}

ExpressionPointer ExpressionParser::parse_filters_and_tests(ExpressionPointer node) {
  for (;;) {
    if (stream_.skip_operator("|")) {
      node = parse_filter(std::move(node));
    } else if (stream_.skip_name("is")) {
      node = parse_test(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPointer ExpressionParser::parse_filter(ExpressionPointer node) {
  ExpressionPointer filter = make(ExpressionKind::kFilter);
  filter->name = stream_.expect_any_name();
  while (stream_.skip_operator(".")) filter->name.append(".").append(stream_.expect_any_name());
  add(*filter, std::move(node));
  if (stream_.is_operator("(")) {
    parse_arguments(filter->arguments);
    for (const auto& argument : filter->arguments.positional) deepen(*filter, argument);
    for (const auto& [name, argument] : filter->arguments.named) deepen(*filter, argument);
  }
  return filter;
}

ExpressionPointer ExpressionParser::parse_filter_chain() {
  ExpressionPointer node = parse_filter(nullptr);
  while (stream_.skip_operator("|")) node = parse_filter(std::move(node));
  return node;
}

bool ExpressionParser::argument_follows_test() const {
  if (stream_.is(TokenKind::kName))
    return !stream_.is_name("else") && !stream_.is_name("or") && !stream_.is_name("and");
  return stream_.is(TokenKind::kString) || stream_.is(TokenKind::kInteger) || stream_.is(TokenKind::kFloat) ||
         stream_.is_operator("[") || stream_.is_operator("{");
}

ExpressionPointer ExpressionParser::parse_test(ExpressionPointer node) {
  const bool negated = stream_.skip_name("not");
  ExpressionPointer test = make(ExpressionKind::kTest);
  test->name = stream_.expect_any_name();
  while (stream_.skip_operator(".")) test->name.append(".").append(stream_.expect_any_name());
  add(*test, std::move(node));
  if (stream_.is_operator("(")) {
    parse_arguments(test->arguments);
  } else if (argument_follows_test()) {
    if (stream_.is_name("is")) stream_.fail_here("You cannot chain multiple tests with is");
    test->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  for (const auto& argument : test->arguments.positional) deepen(*test, argument);
  if (!negated) return test;
  ExpressionPointer result = make(ExpressionKind::kNot);
  add(*result, std::move(test));
  return result;
}

}  // namespace fastserve::jinja
