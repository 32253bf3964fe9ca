" Syntax of Weft's model texts. The words are those of frontend/words.def; a test compares them.
if exists('b:current_syntax')
  finish
endif

" After a point every word is a name.
syntax match weftMember /\.\@1<!\.\s*\h\w*/ contains=weftPoint
syntax match weftPoint /\./ contained

syntax keyword weftDeclaration use fn param buffer const let
syntax keyword weftStatement return yield minimize over using report update assert as with
syntax keyword weftConditional if else when
syntax keyword weftRepeat for in loop while
syntax keyword weftOperatorWord and or not
syntax keyword weftBoolean true false
syntax keyword weftConstant none
syntax keyword weftDtype f16 bf16 f32 f64 i8 u8 i32 u32 i64 bool
" Words only before an upper-case name, or before a name and a bracket.
syntax match weftDeclaration /\<\%(model\|module\|optimizer\)\ze\s\+\u/
syntax match weftDeclaration /\<train\ze\s\+\h\w*\s*(/
syntax match weftType /\%(:\s*\|->\s*\)\@<=\%(int\|float\|string\|list\|module\|any\|num\)\>/

syntax match weftModule /\<\u\w*\ze\s*(/
syntax match weftOperator /|>\|->\|=>\|\.\.\.\|\.\.\|[-+*\/%@^<>=!]/
syntax match weftNumber /\<\d\+\%(\.\d\+\)\?\%([eE][+-]\?\d\+\)\?\>/
syntax match weftNumber /\<0x\x\+\>/
syntax region weftString start=/"/ skip=/\\./ end=/"/ oneline contains=weftEscape,weftInterpolation
syntax match weftEscape /\\[nt"\\{}]/ contained
syntax region weftInterpolation matchgroup=weftEscape start=/{/ end=/}/ contained oneline contains=TOP
syntax match weftComment /\/\/.*$/ contains=weftTodo,@Spell
syntax match weftDoc /\/\/\/\%(\/\)\@!.*$/ contains=@Spell
syntax keyword weftTodo TODO FIXME NOTE contained

highlight default link weftDeclaration Keyword
highlight default link weftStatement Statement
highlight default link weftConditional Conditional
highlight default link weftRepeat Repeat
highlight default link weftOperatorWord Operator
highlight default link weftOperator Operator
highlight default link weftBoolean Boolean
highlight default link weftConstant Constant
highlight default link weftDtype Type
highlight default link weftType Type
highlight default link weftModule Structure
highlight default link weftNumber Number
highlight default link weftString String
highlight default link weftEscape SpecialChar
highlight default link weftComment Comment
highlight default link weftDoc SpecialComment
highlight default link weftTodo Todo

let b:current_syntax = 'weft'
