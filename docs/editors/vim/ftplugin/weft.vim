" Model texts of Weft: `weft fmt` is the formatter, `weft check` the compiler.
if exists('b:did_ftplugin')
  finish
endif
let b:did_ftplugin = 1

setlocal comments=:///,://
setlocal commentstring=//\ %s
setlocal formatoptions-=t formatoptions+=croql
setlocal expandtab shiftwidth=2 softtabstop=2 textwidth=120
setlocal suffixesadd=.weft
setlocal include=^\\s*use\\s
setlocal formatprg=weft\ fmt\ -
setlocal makeprg=weft\ check\ %:S
" error[E0301]: message, then a line `  --> file:12:9`
setlocal errorformat=%Eerror[%.%#]:\ %m,%Wwarning[%.%#]:\ %m,%C\ %#-->\ %f:%l:%c,%-G%.%#

let b:undo_ftplugin = 'setlocal comments< commentstring< formatoptions< expandtab< shiftwidth< softtabstop<'
      \ . ' textwidth< suffixesadd< include< formatprg< makeprg< errorformat<'
