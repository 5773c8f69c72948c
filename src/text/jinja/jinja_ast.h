// The tree of a template. One node type for expressions and one for statements: a kind, texts and children, so that
// the parser and the evaluator alone know what each kind means. Nodes are immutable after parsing.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

enum class ExpressionKind : uint8_t {
  kConstant,     // value
  kName,         // name
  kList,         // children
  kTuple,        // children
  kDict,         // children: key, value, key, value ...
  kAttribute,    // children[0] . name
  kItem,         // children[0] [ children[1] ]
  kSlice,        // children[0] [ [1] : [2] : [3] ], each of the last three may be null
  kCall,         // children[0] ( arguments )
  kFilter,       // children[0] | name ( arguments ); children[0] null inside filter blocks
  kTest,         // children[0] is name ( arguments )
  kNot,          // children[0]
  kNegate,       // children[0]
  kPlus,         // children[0]
  kBinary,       // children[0] name children[1]
  kConcat,       // children, joined by ~
  kCompare,      // children[0] names[0] children[1] names[1] children[2] ...
  kAnd,          // children[0], children[1]
  kOr,           // children[0], children[1]
  kConditional,  // children[0] if children[1] else children[2] (may be null)
};

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPointer> positional;
  std::vector<std::pair<std::string, ExpressionPointer>> named;
  ExpressionPointer more_positional;  // *args
  ExpressionPointer more_named;       // **kwargs
};

struct Expression {
  ExpressionKind kind;
  size_t line = 0;
  uint32_t depth = 1;  // of the tree below, bounded by the parser
  std::string name;
  std::vector<std::string> names;
  Value value;
  std::vector<ExpressionPointer> children;
  CallArguments arguments;
};

enum class StatementKind : uint8_t {
  kText,         // value
  kOutput,       // expression
  kIf,           // branches: condition (null for else) and body
  kFor,          // target, expression, filter (may be null), bodies[0], else bodies[1]
  kSet,          // target, expression
  kSetBlock,     // target, filter (may be null: a chain of kFilter over null), bodies[0]
  kMacro,        // name, parameters, defaults, bodies[0]
  kCallBlock,    // parameters, defaults of caller; expression (a call); bodies[0]
  kFilterBlock,  // filter, bodies[0]
  kWith,         // targets, values, bodies[0]
  kGeneration,   // bodies[0]
  kBreak,
  kContinue,
};

// Names that a macro gets by itself if its body reads them.
struct MacroNames {
  bool varargs = false, kwargs = false, caller = false;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

struct Branch {
  ExpressionPointer condition;
  Body body;
};

struct Statement {
  StatementKind kind;
  size_t line = 0;
  Value value;
  std::string name;
  ExpressionPointer target;  // kName, kTuple of names, or kAttribute of a name (namespace)
  ExpressionPointer expression;
  ExpressionPointer filter;
  bool recursive = false;
  std::vector<Branch> branches;
  std::vector<Body> bodies;
  MacroNames reads;  // of macros and call blocks
  std::vector<std::string> parameters;
  std::vector<ExpressionPointer> defaults;  // of the last parameters
  std::vector<ExpressionPointer> targets;   // of with
  std::vector<ExpressionPointer> values;
};

}  // namespace fastserve::jinja
