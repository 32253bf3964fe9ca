/* frontend/grammar.y: the grammar of model texts. docs/language.md has the same grammar in EBNF; a test compares them.
 *
 * Canonical LR(1), because its table knows at each error exactly which tokens could follow: that list is the message.
 * Recovery: a broken statement ends at its line end, and what is broken inside a bracket ends at its partner; brackets
 * always have one (brackets.c), and parser_resynchronise leaps to it. Where nothing else can follow, rules are reduced
 * without a look at the next token, so that an error behind a bracket is not taken for one inside. yyerrok stands where
 * the token that ends the broken part has been read. */
%code requires {
#include "frontend/parser.h"
}
%code {
#include "frontend/report.h"

/* All memory of the parser is its arena's. */
#define YYMALLOC(size) arena_alloc(parser->arena, (size_t)(size))
#define YYFREE(memory) ((void)(memory))
#define YYINITDEPTH 200
#define YYMAXDEPTH  PARSER_STACK_MAX

#define YYLLOC_DEFAULT(whole, parts, count)                                                                  \
    ((whole) = (count) ? span_join(YYRHSLOC(parts, 1), YYRHSLOC(parts, count))                               \
                       : (struct span){YYRHSLOC(parts, 0).source, YYRHSLOC(parts, 0).end, YYRHSLOC(parts, 0).end})

static int yylex(YYSTYPE *value, struct span *place, struct parser *parser);
static void yyerror(struct span *place, struct parser *parser, const char *message);

#define GIVE_UP_IF_DEEP                                                                                      \
    if (parser->has_given_up)                                                                                \
        YYABORT;
}
%define api.pure full
%define api.prefix {weft_grammar_}
%define api.location.type {struct span}
%define api.value.type union
%define lr.type canonical-lr
%define lr.default-reduction consistent
%define parse.error custom
%locations
%expect 0
%param {struct parser *parser}
%initial-action { @$ = (struct span){parser->source, 0, 0}; }

%token START_FILE START_EXPRESSION
%token END 0 "the end of the text"
%token NL "a new line"
%token <const struct token *> ID "a name" NUM "a number" STR "a string" DTYPE "a dtype"
%token USE MODEL MODULE OPTIMIZER FN TRAIN PARAM BUFFER CONST LET RETURN IF ELSE FOR LOOP WHILE YIELD WHEN WITH
%token MINIMIZE OVER USING REPORT UPDATE ASSERT AS TRUE FALSE NONE ELLIPSIS ARROW FATARROW
%token ADD_SET SUB_SET MUL_SET DIV_SET PIPE
%token BAD /* what the lexer has reported: no rule has it */

%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' LE '>' GE IN NOT_IN
%nonassoc RANGE
%left '+' '-'
%left '*' '/' '%' '@'
%precedence NEG
%right '^'

%nterm <struct item_list> items members member_list
%nterm <struct item *> item use member module mitem
%nterm <const char *> dotted
%nterm <enum module_kind> module_kind
%nterm <struct name_list> names taken
%nterm <const struct token *> alias
%nterm <struct formal_list> formals formals_opt formal_list
%nterm <struct formal *> formal
%nterm <struct type_expr *> typed result type base tfield
%nterm <struct type_list> tfields
%nterm <struct dim_list> dims dims_bracket
%nterm <struct dim_expr *> dim
%nterm <struct path_clause> path
%nterm <struct block_ast> block else_if else_when
%nterm <struct stmt_list> stmts
%nterm <struct stmt *> stmt loop if_stmt when_stmt
%nterm <enum assign_op> assign
%nterm <struct expr *> init rhs exprs_value over while_clause expr pipe op place postfix atom choice braced condition
%nterm <struct arg_list> exprs withs reports elems args arg_list fields named_fields call_args
%nterm <struct arg *> report arg
%nterm <struct pattern *> pat tuple_pat
%nterm <struct pattern_list> pats
%nterm <struct sub_list> subs subs_bracket
%nterm <struct sub *> sub slice

%%

start: START_FILE file
     | START_EXPRESSION expr { parser->expr = $expr; }
     ;

/* ---- files and modules ---- */

newline: NL { yyerrok; };

file: %empty | items { parser->items = $items.first; };
items: item { $$ = (struct item_list){$item, $item}; }
     | items newline item { $$ = $1; LIST_APPEND($$, $item); }
     ;
item: use | module | member
    | stmt { $$ = item_stmt(parser, $stmt); }
    ;
use: USE dotted alias { $$ = item_new(parser, ITEM_USE, $alias, @$); $$->source = $dotted; $$->source_span = @dotted; }
   | USE dotted ':' names { $$ = item_new(parser, ITEM_USE, NULL, @$); $$->source = $dotted; $$->source_span = @dotted;
                            $$->names = $names.first; }
   | USE STR alias { $$ = item_new(parser, ITEM_USE, $alias, @$); $$->source = plain_string(parser, $STR);
                     $$->source_span = @STR; $$->source_is_file = true; }
   | USE STR ':' names { $$ = item_new(parser, ITEM_USE, NULL, @$); $$->source = plain_string(parser, $STR);
                         $$->source_span = @STR; $$->source_is_file = true; $$->names = $names.first; }
   ;
dotted: ID { $$ = $ID->text; }
      | dotted '.' ID { $$ = intern(parser->names, arena_printf(parser->arena, "%s.%s", $1, $ID->text)); }
      ;
alias: %empty { $$ = NULL; } | AS ID { $$ = $ID; };
names: ID { $$ = (struct name_list){0}; LIST_APPEND($$, param_name_new(parser, $ID)); }
     | names ',' ID { $$ = $1; LIST_APPEND($$, param_name_new(parser, $ID)); }
     ;

module: module_kind ID formals_opt '{' members '}' {
            $$ = item_new(parser, ITEM_MODULE, $ID, @$);
            $$->module_kind = $module_kind;
            $$->formals = $formals_opt.first;
            $$->members = $members.first;
            yyerrok;
        }
      ;
module_kind: MODEL { $$ = MODULE_MODEL; } | MODULE { $$ = MODULE_MODULE; } | OPTIMIZER { $$ = MODULE_OPTIMIZER; };
members: %empty { $$ = (struct item_list){0}; } | member_list;
member_list: mitem { $$ = (struct item_list){$mitem, $mitem}; }
           | member_list newline mitem { $$ = $1; LIST_APPEND($$, $mitem); }
           ;
mitem: member | module
     | stmt { $$ = item_stmt(parser, $stmt); }
     ;

member: LET ID typed '=' rhs path { $$ = item_member(parser, ITEM_LET, $ID, @$, $typed, $rhs, $path); }
      | PARAM ID ':' type init path { $$ = item_member(parser, ITEM_PARAM, $ID, @$, $type, $init, $path); }
      | BUFFER ID ':' type init path { $$ = item_member(parser, ITEM_BUFFER, $ID, @$, $type, $init, $path); }
      | FN ID formals result block {
            $$ = item_new(parser, ITEM_FN, $ID, @$);
            $$->formals = $formals.first;
            $$->type = $result;
            $$->body = $block;
            $$->has_body = true;
        }
      | FN ID formals result '=' expr {
            $$ = item_new(parser, ITEM_FN, $ID, @$);
            $$->formals = $formals.first;
            $$->type = $result;
            $$->value = $expr;
        }
      | TRAIN ID formals block {
            $$ = item_new(parser, ITEM_TRAIN, $ID, @$);
            $$->formals = $formals.first;
            $$->body = $block;
            $$->has_body = true;
        }
      ;
path: %empty { $$ = (struct path_clause){0}; }
    | AS STR { $$ = (struct path_clause){plain_string(parser, $STR), @STR}; }
    ;
result: %empty { $$ = NULL; } | ARROW type { $$ = $type; };

formals_opt: %empty { $$ = (struct formal_list){0}; } | formals;
formals: '(' ')' { $$ = (struct formal_list){0}; }
       | '(' formal_list comma ')' { $$ = $formal_list; }
       | '(' error ')' { $$ = (struct formal_list){0}; yyerrok; }
       ;
formal_list: formal { $$ = (struct formal_list){$formal, $formal}; }
           | formal_list ',' formal { $$ = $1; LIST_APPEND($$, $formal); }
           ;
formal: ID typed init { $$ = formal_new(parser, $ID, $typed, $init, @$); };
typed: %empty { $$ = NULL; } | ':' type { $$ = $type; };
init: %empty { $$ = NULL; } | '=' expr { $$ = $expr; };
comma: %empty | ',';

/* ---- statements ---- */

block: '{' '}' { $$ = (struct block_ast){NULL, @$}; }
     | '{' stmts '}' { $$ = (struct block_ast){$stmts.first, @$}; yyerrok; }
     ;
stmts: stmt { $$ = (struct stmt_list){$stmt, $stmt}; }
     | stmts newline stmt { $$ = $1; LIST_APPEND($$, $stmt); }
     ;
stmt: broken { $$ = stmt_new(parser, STMT_ERROR, @$); }
    | CONST ID typed '=' rhs {
          $$ = stmt_new(parser, STMT_CONST, @$);
          $$->name = ident_of($ID);
          $$->type = $typed;
          $$->value = $rhs;
      }
    | place { $$ = stmt_new(parser, STMT_CALL, @$); $$->place = $place; }
    | place assign rhs {
          $$ = stmt_new(parser, STMT_ASSIGN, @$);
          $$->place = $place;
          $$->op = $assign;
          $$->value = $rhs;
      }
    | ID ':' type '=' rhs {
          $$ = stmt_new(parser, STMT_TYPED, @$);
          $$->name = ident_of($ID);
          $$->type = $type;
          $$->value = $rhs;
      }
    | tuple_pat '=' rhs { $$ = stmt_new(parser, STMT_UNPACK, @$); $$->pattern = $tuple_pat; $$->value = $rhs; }
    | if_stmt
    | when_stmt
    | FOR pat IN expr block { $$ = stmt_turns(parser, STMT_FOR, @$, $pat, $expr, NULL, $block); }
    | loop
    | WITH withs block { $$ = stmt_new(parser, STMT_WITH, @$); $$->args = $withs.first; $$->body = $block; }
    | RETURN { $$ = stmt_new(parser, STMT_RETURN, @$); }
    | RETURN rhs { $$ = stmt_new(parser, STMT_RETURN, @$); $$->value = $rhs; }
    | YIELD exprs_value { $$ = stmt_new(parser, STMT_YIELD, @$); $$->value = $exprs_value; }
    | UPDATE place assign expr {
          $$ = stmt_new(parser, STMT_UPDATE, @$);
          $$->place = $place;
          $$->op = $assign;
          $$->value = $expr;
      }
    | MINIMIZE expr over USING expr[optimizer] {
          $$ = stmt_new(parser, STMT_MINIMIZE, @$);
          $$->value = $2;
          $$->over = $over;
          $$->optimizer = $optimizer;
      }
    | REPORT reports { $$ = stmt_new(parser, STMT_REPORT, @$); $$->args = $reports.first; }
    | ASSERT expr { $$ = stmt_new(parser, STMT_ASSERT, @$); $$->cond = $expr; }
    | ASSERT expr ',' expr[message] {
          $$ = stmt_new(parser, STMT_ASSERT, @$);
          $$->cond = $2;
          $$->message = $message;
      }
    ;
/* The second rule is there so that the first is reduced at the line end only: what is thrown away until then would
 * otherwise take the statements before it along. */
broken: error | error BAD;
if_stmt: IF expr block { $$ = stmt_new(parser, STMT_IF, @$); $$->cond = $expr; $$->body = $block; }
  | IF expr block ELSE else_if {
        $$ = stmt_new(parser, STMT_IF, @$);
        $$->cond = $expr;
        $$->body = $block;
        $$->otherwise = $else_if;
        $$->has_otherwise = true;
    }
  ;
else_if: block | if_stmt { $$ = block_of($if_stmt); };
when_stmt: WHEN expr block { $$ = stmt_new(parser, STMT_WHEN, @$); $$->cond = $expr; $$->body = $block; }
    | WHEN expr block ELSE else_when {
          $$ = stmt_new(parser, STMT_WHEN, @$);
          $$->cond = $expr;
          $$->body = $block;
          $$->otherwise = $else_when;
          $$->has_otherwise = true;
      }
    ;
else_when: block | when_stmt { $$ = block_of($when_stmt); };
loop: LOOP pat IN expr while_clause block { $$ = stmt_turns(parser, STMT_LOOP, @$, $pat, $expr, $while_clause, $block); }
    | LOOP WHILE expr block { $$ = stmt_turns(parser, STMT_LOOP, @$, NULL, NULL, $expr, $block); }
    ;
while_clause: %empty { $$ = NULL; } | WHILE expr { $$ = $expr; };
assign: '=' { $$ = ASSIGN_SET; } | ADD_SET { $$ = ASSIGN_ADD; } | SUB_SET { $$ = ASSIGN_SUB; }
      | MUL_SET { $$ = ASSIGN_MUL; } | DIV_SET { $$ = ASSIGN_DIV; };
rhs: exprs_value | loop { $$ = expr_loop(parser, $loop); };
exprs_value: exprs { $$ = expr_bare(parser, @$, $exprs); };
exprs: expr { $$ = (struct arg_list){0}; LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr)); }
     | exprs ',' expr { $$ = $1; LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr)); }
     ;
withs: ID ':' expr { $$ = (struct arg_list){0}; LIST_APPEND($$, arg_new(parser, $ID, $expr, @$)); }
     | withs ',' ID ':' expr { $$ = $1; LIST_APPEND($$, arg_new(parser, $ID, $expr, span_join(@ID, @expr))); }
     ;
over: %empty { $$ = NULL; } | OVER exprs_value { $$ = $exprs_value; };
reports: report { $$ = (struct arg_list){$report, $report}; }
       | reports ',' report { $$ = $1; LIST_APPEND($$, $report); }
       ;
report: expr { $$ = arg_new(parser, NULL, $expr, @$); }
      | ID '=' expr { $$ = arg_new(parser, $ID, $expr, @$); }
      ;
pat: ID { $$ = pattern_name(parser, $ID); } | tuple_pat;
tuple_pat: '(' pats ')' { $$ = pattern_tuple(parser, @$, $pats); }
         | '(' error ')' { $$ = pattern_tuple(parser, @$, (struct pattern_list){0}); yyerrok; }
         ;
pats: pat ',' pat { $$ = (struct pattern_list){$1, $1}; LIST_APPEND($$, $3); }
    | pats ',' pat { $$ = $1; LIST_APPEND($$, $pat); }
    ;
place: ID { $$ = expr_word(parser, EXPR_NAME, $ID); }
     | place '.' ID { $$ = expr_field(parser, $1, $ID); GIVE_UP_IF_DEEP }
     | place call_args { $$ = expr_call(parser, $1, $call_args, @call_args); GIVE_UP_IF_DEEP }
     | place subs_bracket { $$ = expr_index(parser, $1, $subs_bracket, @subs_bracket); GIVE_UP_IF_DEEP }
     ;

/* ---- types ---- */

type: base | type '?' { $$ = $1; $$->optional = true; $$->span = @$; };
base: ID { $$ = type_word(parser, TYPE_NAME, $ID); }
    | DTYPE { $$ = type_tensor(parser, $DTYPE, (struct dim_list){0}, @$); }
    | FN { $$ = type_new(parser, TYPE_FN, @$); }
    | DTYPE dims_bracket { $$ = type_tensor(parser, $DTYPE, $dims_bracket, @$); }
    | ID dims_bracket { $$ = type_tensor(parser, $ID, $dims_bracket, @$); }
    | '[' type ']' { $$ = type_new(parser, TYPE_LIST, @$); $$->inner = $2; }
    | '[' error ']' { $$ = type_new(parser, TYPE_LIST, @$); yyerrok; }
    | '(' tfields ')' { $$ = type_new(parser, TYPE_TUPLE, @$); $$->inner = $tfields.first; }
    | '(' error ')' { $$ = type_new(parser, TYPE_TUPLE, @$); yyerrok; }
    ;
tfields: tfield { $$ = (struct type_list){$tfield, $tfield}; }
       | tfields ',' tfield { $$ = $1; LIST_APPEND($$, $tfield); }
       ;
tfield: type | ID ':' type { $$ = $type; $$->field = ident_of($ID); };
dims_bracket: '[' ']' { $$ = (struct dim_list){0}; }
            | '[' dims ']' { $$ = $dims; }
            | '[' error ']' { $$ = (struct dim_list){0}; yyerrok; }
            ;
dims: dim { $$ = (struct dim_list){$dim, $dim}; }
    | dims ',' dim { $$ = $1; LIST_APPEND($$, $dim); }
    ;
dim: expr { $$ = dim_new(parser, $expr, NULL, @$); }
   | ELLIPSIS { $$ = dim_new(parser, NULL, NULL, @$); }
   | ELLIPSIS ID { $$ = dim_new(parser, NULL, $ID, @$); }
   ;

/* ---- expressions ---- */

expr: pipe
    | FN taken FATARROW expr[body] { $$ = expr_lambda(parser, @$, $taken, $body); }
    ;
/* A rule of its own, so that an error behind the arrow is not taken for one in the parentheses. */
taken: '(' ')' { $$ = (struct name_list){0}; }
     | '(' names ')' { $$ = $names; }
     | '(' error ')' { $$ = (struct name_list){0}; yyerrok; }
     ;
pipe: op
    | pipe PIPE op { $$ = expr_pipe(parser, $1, @2, $3); GIVE_UP_IF_DEEP }
    ;
op: op OR op { $$ = expr_binary(parser, BINARY_OR, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op AND op { $$ = expr_binary(parser, BINARY_AND, $1, @2, $3); GIVE_UP_IF_DEEP }
  | NOT op { $$ = expr_unary(parser, UNARY_NOT, @1, $2); GIVE_UP_IF_DEEP }
  | op EQ op { $$ = expr_binary(parser, BINARY_EQ, $1, @2, $3); }
  | op NE op { $$ = expr_binary(parser, BINARY_NE, $1, @2, $3); }
  | op '<' op { $$ = expr_binary(parser, BINARY_LT, $1, @2, $3); }
  | op LE op { $$ = expr_binary(parser, BINARY_LE, $1, @2, $3); }
  | op '>' op { $$ = expr_binary(parser, BINARY_GT, $1, @2, $3); }
  | op GE op { $$ = expr_binary(parser, BINARY_GE, $1, @2, $3); }
  | op IN op { $$ = expr_binary(parser, BINARY_IN, $1, @2, $3); }
  | op NOT_IN op { $$ = expr_binary(parser, BINARY_NOT_IN, $1, @2, $3); }
  | op RANGE op { $$ = expr_binary(parser, BINARY_RANGE, $1, @2, $3); }
  | op '+' op { $$ = expr_binary(parser, BINARY_ADD, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op '-' op { $$ = expr_binary(parser, BINARY_SUB, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op '*' op { $$ = expr_binary(parser, BINARY_MUL, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op '/' op { $$ = expr_binary(parser, BINARY_DIV, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op '%' op { $$ = expr_binary(parser, BINARY_MOD, $1, @2, $3); GIVE_UP_IF_DEEP }
  | op '@' op { $$ = expr_binary(parser, BINARY_MATMUL, $1, @2, $3); GIVE_UP_IF_DEEP }
  | '-' op %prec NEG { $$ = expr_unary(parser, UNARY_NEG, @1, $2); GIVE_UP_IF_DEEP }
  | op '^' op { $$ = expr_binary(parser, BINARY_POW, $1, @2, $3); GIVE_UP_IF_DEEP }
  | postfix
  | NUM { $$ = expr_number(parser, $NUM); }
  | STR { $$ = expr_string(parser, $STR); }
  | TRUE { $$ = expr_new(parser, EXPR_BOOL, @$); $$->is_true = true; }
  | FALSE { $$ = expr_new(parser, EXPR_BOOL, @$); }
  | NONE { $$ = expr_new(parser, EXPR_NONE, @$); }
  | choice
  | WHEN expr braced[b] ELSE braced[c] { $$ = expr_choice(parser, EXPR_WHEN, @$, $expr, $b, $c); }
  ;
choice: IF expr braced[b] ELSE braced[c] { $$ = expr_choice(parser, EXPR_IF, @$, $expr, $b, $c); }
      | IF expr braced[b] ELSE choice[c] { $$ = expr_choice(parser, EXPR_IF, @$, $expr, $b, $c); }
      ;
braced: '{' expr '}' { $$ = $expr; }
      | '{' error '}' { $$ = expr_new(parser, EXPR_ERROR, @$); yyerrok; }
      ;

postfix: atom
       | postfix '.' ID { $$ = expr_field(parser, $1, $ID); GIVE_UP_IF_DEEP }
       | postfix call_args { $$ = expr_call(parser, $1, $call_args, @call_args); GIVE_UP_IF_DEEP }
       | postfix subs_bracket { $$ = expr_index(parser, $1, $subs_bracket, @subs_bracket); GIVE_UP_IF_DEEP }
       ;
atom: ID { $$ = expr_word(parser, EXPR_NAME, $ID); }
    | DTYPE { $$ = expr_word(parser, EXPR_DTYPE, $DTYPE); }
    | '(' ')' { $$ = expr_elements(parser, EXPR_TUPLE, @$, (struct arg_list){0}); }
    | '(' expr ')' { $$ = $expr; $$->parenthesised = true; $$->span = @$; }
    | '(' fields ')' { $$ = expr_elements(parser, EXPR_TUPLE, @$, $fields); }
    | '(' error ')' { $$ = expr_new(parser, EXPR_ERROR, @$); yyerrok; }
    | '[' ']' { $$ = expr_elements(parser, EXPR_LIST, @$, (struct arg_list){0}); }
    | '[' elems comma ']' { $$ = expr_elements(parser, EXPR_LIST, @$, $elems); }
    | '[' expr FOR pat IN op condition ']' { $$ = expr_comprehension(parser, @$, $expr, $pat, $op, $condition); }
    | '[' error ']' { $$ = expr_new(parser, EXPR_ERROR, @$); yyerrok; }
    ;
condition: %empty { $$ = NULL; } | IF op { $$ = $op; };
elems: expr { $$ = (struct arg_list){0}; LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr)); }
     | elems ',' expr { $$ = $1; LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr)); }
     ;
fields: expr ',' { $$ = (struct arg_list){0}; LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr)); }
      | expr ',' elems comma {
            $$ = (struct arg_list){0};
            LIST_APPEND($$, arg_new(parser, NULL, $expr, @expr));
            $$.last->next = $elems.first;
            $$.last = $elems.last;
        }
      | named_fields comma { $$ = $1; }
      ;
named_fields: ID ':' expr { $$ = (struct arg_list){0}; LIST_APPEND($$, arg_new(parser, $ID, $expr, @$)); }
            | named_fields ',' ID ':' expr {
                  $$ = $1;
                  LIST_APPEND($$, arg_new(parser, $ID, $expr, span_join(@ID, @expr)));
              }
            ;
call_args: '(' args ')' { $$ = $args; }
         | '(' error ')' { $$ = (struct arg_list){0}; yyerrok; }
         ;
args: %empty { $$ = (struct arg_list){0}; } | arg_list comma { $$ = $1; };
arg_list: arg { $$ = (struct arg_list){$arg, $arg}; }
        | arg_list ',' arg { $$ = $1; LIST_APPEND($$, $arg); }
        ;
arg: expr { $$ = arg_new(parser, NULL, $expr, @$); }
   | ID ':' expr { $$ = arg_new(parser, $ID, $expr, @$); }
   ;
subs_bracket: '[' subs ']' { $$ = $subs; }
            | '[' error ']' { $$ = (struct sub_list){0}; yyerrok; }
            ;
subs: sub { $$ = (struct sub_list){$sub, $sub}; }
    | subs ',' sub { $$ = $1; LIST_APPEND($$, $sub); }
    ;
sub: expr { $$ = sub_new(parser, SUB_INDEX, @$, $expr, NULL, NULL); }
   | ELLIPSIS { $$ = sub_new(parser, SUB_ELLIPSIS, @$, NULL, NULL, NULL); }
   | expr ':' '+' expr[n] { $$ = sub_new(parser, SUB_LENGTH, @$, $1, $n, NULL); }
   | slice
   | slice ':' expr { $$ = $slice; $$->step = $expr; $$->span = @$; }
   ;
slice: ':' { $$ = sub_new(parser, SUB_SLICE, @$, NULL, NULL, NULL); }
     | expr ':' { $$ = sub_new(parser, SUB_SLICE, @$, $expr, NULL, NULL); }
     | ':' expr { $$ = sub_new(parser, SUB_SLICE, @$, NULL, $expr, NULL); }
     | expr[a] ':' expr[b] { $$ = sub_new(parser, SUB_SLICE, @$, $a, $b, NULL); }
     ;

%%

static int yylex(YYSTYPE *value, struct span *place, struct parser *parser) {
    if (parser->at < 0) {
        parser->at = 0;
        return parser->start;
    }
    const struct token *token = &parser->tokens.at[parser->at];
    parser->found = parser->at;
    if (token->kind != 0)
        parser->at++;
    value->ID = token;
    *place = token->span;
    return token->kind;
}

/* Only "memory exhausted" arrives here; yyreport_syntax_error has the rest. */
static void yyerror(struct span *place, struct parser *parser, const char *message) {
    (void)message;
    parser_give_up(parser, *place);
}

/* The token kind that a symbol of the table stands for: the inverse of YYTRANSLATE. */
static int kind_of(yysymbol_kind_t symbol) {
    int kind = 0;
    while (YYTRANSLATE(kind) != symbol)
        kind++;
    return kind;
}

static int yyreport_syntax_error(const yypcontext_t *context, struct parser *parser) {
    yysymbol_kind_t symbols[YYNTOKENS];
    int kinds[YYNTOKENS];
    int count = yypcontext_expected_tokens(context, symbols, YYNTOKENS);
    for (int i = 0; i < count; i++)
        kinds[i] = kind_of(symbols[i]);
    report_syntax_error(parser, kinds, count > 0 ? count : 0);
    parser_resynchronise(parser);
    return 0;
}
