// Statements: tags and what lies between them.
#include "text/jinja/jinja_parser.h"

#include <initializer_list>

#include "text/jinja/expression_parser.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kNestingMax = 100;  // of blocks in blocks

class TemplateParser {
 public:
  explicit TemplateParser(std::string_view source) : stream_(tokenize_template(source)), expressions_(stream_) {}

  Body parse() {
    Body body = parse_body({});
    if (!stream_.is(TokenKind::kEnd)) stream_.fail_here(format("unexpected ", stream_.describe()));
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;
  using StatementPointer = std::unique_ptr<Statement>;

  StatementPointer make(StatementKind kind) const {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = stream_.line();
    return statement;
  }

  bool at_end_name(const Names& ends) const {
    const Token& token = stream_.look_ahead();
    if (!stream_.is(TokenKind::kBlockBegin) || token.kind != TokenKind::kName) return false;
    for (const std::string_view end : ends) {
      if (token.text == end) return true;
    }
    return false;
  }

  // Statements up to a tag named in `ends`, which is left in the stream at its name; all that is left where none.
  Body parse_body(const Names& ends) {
    if (++nesting_ > kNestingMax) stream_.fail_here("blocks are nested too deep");
    Body body;
    while (!stream_.is(TokenKind::kEnd)) {
      if (at_end_name(ends)) {
        stream_.take();
        break;
      }
      body.push_back(parse_piece());
    }
    if (ends.size() > 0 && stream_.is(TokenKind::kEnd)) {
      stream_.fail_here(format("unexpected end of template, expected '", *ends.begin(), "'"));
    }
    --nesting_;
    return body;
  }

  StatementPointer parse_piece() {
    if (stream_.is(TokenKind::kData)) {
      StatementPointer text = make(StatementKind::kText);
      text->value = Value::text(stream_.take().text, true);
      return text;
    }
    if (stream_.is(TokenKind::kVariableBegin)) {
      StatementPointer output = make(StatementKind::kOutput);
      stream_.take();
      output->expression = expressions_.parse_tuple(true);
      stream_.expect(TokenKind::kVariableEnd, "'}}'");
      return output;
    }
    stream_.expect(TokenKind::kBlockBegin, "a tag");
    StatementPointer statement = parse_statement();
    return statement;
  }

  void end_block() { stream_.expect(TokenKind::kBlockEnd, "'%}'"); }

  StatementPointer parse_statement() {
    const size_t line = stream_.line();
    const std::string name = stream_.expect_any_name();
    StatementPointer statement = parse_named(name);
    statement->line = line;
    return statement;
  }

  StatementPointer parse_named(const std::string& name) {
    if (name == "if") return parse_if();
    if (name == "for") return parse_for();
    if (name == "set") return parse_set();
    if (name == "macro") return parse_macro();
    if (name == "call") return parse_call_block();
    if (name == "filter") return parse_filter_block();
    if (name == "with") return parse_with();
    if (name == "generation") return parse_generation();
    if (name == "break" || name == "continue") {
      if (loops_ == 0) stream_.fail_here(format("'", name, "' outside loop"));
      StatementPointer statement = make(name == "break" ? StatementKind::kBreak : StatementKind::kContinue);
      end_block();
      return statement;
    }
    stream_.fail_here(format("unknown tag '", name, "'"));
  }

  StatementPointer parse_if() {
    StatementPointer statement = make(StatementKind::kIf);
    for (;;) {
      Branch branch;
      branch.condition = expressions_.parse_tuple(false);
      end_block();
      branch.body = parse_body({"elif", "else", "endif"});
      statement->branches.push_back(std::move(branch));
      if (stream_.skip_name("elif")) continue;
      if (stream_.skip_name("else")) {
        end_block();
        statement->branches.push_back({nullptr, parse_body({"endif"})});
      }
      stream_.expect_name("endif");
      end_block();
      return statement;
    }
  }

  StatementPointer parse_for() {
    StatementPointer statement = make(StatementKind::kFor);
    statement->target = expressions_.parse_target(false, "in");
    stream_.expect_name("in");
    statement->expression = expressions_.parse_tuple(false, "recursive");
    if (stream_.skip_name("if")) statement->filter = expressions_.parse();
    statement->recursive = stream_.skip_name("recursive");
    end_block();
    ++loops_;
    statement->bodies.push_back(parse_body({"endfor", "else"}));
    --loops_;
    if (stream_.skip_name("else")) {
      end_block();
      statement->bodies.push_back(parse_body({"endfor"}));
    } else {
      statement->bodies.emplace_back();
    }
    stream_.expect_name("endfor");
    end_block();
    return statement;
  }

  StatementPointer parse_set() {
    StatementPointer statement = make(StatementKind::kSet);
    statement->target = expressions_.parse_target(true);
    if (stream_.skip_operator("=")) {
      statement->expression = expressions_.parse_tuple(true);
      end_block();
      return statement;
    }
    statement->kind = StatementKind::kSetBlock;
    if (stream_.skip_operator("|")) statement->filter = expressions_.parse_filter_chain();
    end_block();
    finish_simple(*statement, "endset");
    return statement;
  }

  void finish_simple(Statement& statement, std::string_view end) {
    statement.bodies.push_back(parse_body({end}));
    stream_.expect_name(end);
    end_block();
  }

  void parse_parameters(Statement& statement) {
    stream_.expect_operator("(");
    while (!stream_.is_operator(")")) {
      if (!statement.parameters.empty()) stream_.expect_operator(",");
      if (stream_.is_operator(")")) break;
      statement.parameters.push_back(expressions_.parse_target_name()->name);
      if (stream_.skip_operator("=")) {
        statement.defaults.push_back(expressions_.parse());
      } else if (!statement.defaults.empty()) {
        stream_.fail_here("non-default argument follows default argument");
      }
    }
    stream_.expect_operator(")");
  }

  StatementPointer parse_macro() {
    StatementPointer statement = make(StatementKind::kMacro);
    statement->name = expressions_.parse_target_name()->name;
    parse_parameters(*statement);
    end_block();
    finish_function(*statement, "endmacro");
    return statement;
  }

  // The body of a function of its own: break and continue do not reach out of it.
  void finish_function(Statement& statement, std::string_view end) {
    const uint32_t outer_loops = loops_;
    const MacroNames outer_seen = expressions_.seen;
    loops_ = 0;
    expressions_.seen = {};
    finish_simple(statement, end);
    statement.reads = expressions_.seen;
    expressions_.seen = outer_seen;
    loops_ = outer_loops;
  }

  StatementPointer parse_call_block() {
    StatementPointer statement = make(StatementKind::kCallBlock);
    if (stream_.is_operator("(")) parse_parameters(*statement);
    statement->expression = expressions_.parse();
    if (statement->expression->kind != ExpressionKind::kCall) stream_.fail_here("expected call");
    end_block();
    finish_function(*statement, "endcall");
    return statement;
  }

  StatementPointer parse_filter_block() {
    StatementPointer statement = make(StatementKind::kFilterBlock);
    statement->filter = expressions_.parse_filter_chain();
    end_block();
    finish_simple(*statement, "endfilter");
    return statement;
  }

  StatementPointer parse_with() {
    StatementPointer statement = make(StatementKind::kWith);
    while (!stream_.is(TokenKind::kBlockEnd)) {
      if (!statement->targets.empty()) stream_.expect_operator(",");
      statement->targets.push_back(expressions_.parse_target_name());
      stream_.expect_operator("=");
      statement->values.push_back(expressions_.parse());
    }
    end_block();
    finish_simple(*statement, "endwith");
    return statement;
  }

  StatementPointer parse_generation() {
    StatementPointer statement = make(StatementKind::kGeneration);
    end_block();
    finish_function(*statement, "endgeneration");
    return statement;
  }

  TokenStream stream_;
  ExpressionParser expressions_;
  uint32_t nesting_ = 0;
  uint32_t loops_ = 0;
};

}  // namespace

Body parse_template(std::string_view source) { return TemplateParser(source).parse(); }

}  // namespace fastserve::jinja
