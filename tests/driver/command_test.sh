#!/usr/bin/env bash
# The command line: help, and every wrong use with its message and status.
set -u
failures=0

# expect STATUS "text in the output" words...
expect() {
    local status=$1 text=$2
    shift 2
    local out
    out=$("$WEFT" "$@" 2>&1 </dev/null)
    local got=$?
    if [ $got != "$status" ] || ! grep -qF -- "$text" <<<"$out"; then
        echo "weft $*: status $got (wanted $status), output:"
        echo "$out"
        echo "wanted: $text"
        failures=$((failures + 1))
    fi
}

expect 2 "usage: weft COMMAND"
expect 0 "usage: weft COMMAND" help
expect 0 "usage: weft train RECIPE.yaml" help train
expect 0 "usage: weft train RECIPE.yaml" train --help
expect 0 "weft " version
expect 2 "there is no command \`trian\`; did you mean \`train\`?" trian
expect 2 "there is no command \`fly\`" fly
expect 2 "train has no option \`--sede\`; did you mean \`--seed\`?" train --sede 1 x.yaml
expect 2 "\`--seed\` wants a value" train x.yaml --seed
expect 2 "--seed wants a whole number" train x.yaml --seed one
expect 2 "\`--resume=yes\` takes no value" train x.yaml --resume=yes
expect 2 "\`--seed\` is given twice" train x.yaml --seed 1 --seed 2
expect 2 "--set wants NAME=VALUE" train x.yaml --set lr
expect 2 "which model?" run
expect 2 "which model?" check
expect 2 "one recipe is wanted" train
expect 2 "-o FILE.o is wanted" build x.weft
expect 2 "-o FILE.o is wanted" build x.weft -o x.so
expect 2 "-o FILE.onnx is wanted" export x.weft -o x.o
expect 2 "--after PASS is wanted" dump x.weft
expect 2 "there is no pass \`fusee\`" dump x.weft --after fusee
expect 0 "plan_memory" dump --after list
expect 2 "--memory wants a size such as 512M or 2G, not \`12X\`" plan x.weft --memory 12X
expect 2 "--memory wants a size such as 512M or 2G, not \`-1\`" run x.weft --memory -1
expect 2 "it takes no file" lsp x.weft
expect 2 "\`list\` or \`clear\`?" cache
expect 2 "one file or name at the most" doc nn dist
expect 0 "fn call(x: float[...N, I]) -> float[...N, out]" doc nn.Linear
expect 0 "nn.Linear   (nn/layers.weft:" doc Linear
expect 0 "diffusion.Gaussian.ddim" doc Gaussian.ddim
expect 0 "fn conv(x, w, stride?, pad?, dilation?, groups?)" doc conv
expect 0 "nn.cross_entropy" doc nn
expect 0 "#### edm.heun" doc
expect 1 "the library has no \`nn.Linaer\`; did you mean \`nn.Linear\`?" doc nn.Linaer
expect 1 "did you mean \`nn.Conv2d\`?" doc Conv2D
expect 1 "the library has no \`zzzzzz\`; \`weft doc\` prints all of it" doc zzzzzz
expect 1 "cannot be read" doc /nonexistent/x.weft
expect 1 "cannot be read" train /nonexistent/x.yaml
expect 1 "nonexistent" check /nonexistent/x.weft
expect 1 "the name must end in" inspect "$0"
expect 1 "nonexistent" inspect /nonexistent/x.npy
expect 0 "fn decode(z: f32[B, latent])" doc "$SOURCE_DIR/models/vae.weft"

# What a model does not have, and values that do not suit it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'model M() {\n  fn f(x: f32[B, 3], p: float) = x * p\n}\n' >"$work/no_entry.weft"
expect 1 "nothing of this model runs by itself: \`f\` needs a value for \`p\`" check "$work/no_entry.weft"
model=$work/m.weft
cat >"$model" <<'END'
use nn
model M(hidden: int = 3) {
  let a = nn.Linear(hidden)
  fn scaled(x: f32[B, 4], p: float) -> f32[B, 4] = x * p
  fn sample(n: int) -> f32[n, 4] = randn([n, 4])
  fn f(x: f32[B, 4]) -> f32[B, hidden] = a(scaled(x, 0.5))
}
END
expect 0 "ok" check "$model" # scaled is there for f: it is no entry of its own
expect 1 "has no model \`N\`, it has \`M\`" check "$model:N"
expect 1 "did you mean \`sample\`?" check "$model:M:smaple"
expect 1 "say which: the model has \`scaled\`, \`sample\` and \`f\`" run "$model"
expect 1 "\`sample\` wants n=..." run "$model:sample"
expect 1 "must be an int, this is the float 2.5" run "$model:sample" n=2.5
expect 1 "the size -3 of a shape is negative" run "$model:sample" n=-3
expect 1 "\`f\` has no parameter \`y\`; it has \`x\`" run "$model:f" y=1
expect 1 "\`x\` is given twice" run "$model:f" x=[[1,2,3,4]] x=[[1,2,3,4]]
expect 1 "dimension 1 of x=[[1,2,3]] is 3; the model wants 4 there" run "$model:f" x=[[1,2,3]]
expect 1 "did you mean \`hidden\`?" run "$model:f" x=[[1,2,3,4]] --set hiden=4
expect 1 "must be an int, this is the float 2.5" run "$model:f" x=[[1,2,3,4]] --set hidden=2.5
expect 1 "unknown name \`many\`" run "$model:f" x=[[1,2,3,4]] --set hidden=many
expect 1 "\`[\` is not closed" run "$model:f" x=[[1,2,3,4]] --set "hidden=[1,"
expect 1 "--shape NAME=SIZE gives a size its value" build "$model" --entry f -o "$work/m.o"

# What the text fixes of a fn is its default or what --arg says, of one fn or of all that have such a parameter; a tensor
# that may be left out is an input where it is given.
cat >"$work/arg.weft" <<'END'
model M {
  fn sample(n: int, scale: float = 3.0) -> f32[n] = full([n], scale)
  fn draw(n: int, scale: float, how: string) -> f32[n] = full([n], if how == "twice" { 2.0 * scale } else { scale })
  fn opt(x: f32[4], c: f32[4]?) -> f32[4] = if c == none { x } else { x + c }
}
END
arg() { # arg STATUS TEXT words...: an object of the model
    local status=$1 text=$2
    shift 2
    expect "$status" "$text" build "$work/arg.weft" --shape n=3 -o "$work/arg.o" "$@"
}
arg 0 "arg.o"
grep -q "m_draw" "$work/arg.h" && { echo "an fn without its values is in the object"; failures=$((failures + 1)); }
grep -q "int m_opt(const float \*x, float" "$work/arg.h" || { echo "what is left out is no parameter"; failures=$((failures + 1)); }
arg 0 "arg.o" --arg draw.scale=2 --arg how=twice --arg c=given
grep -q "int m_opt(const float \*x, const float \*c, float" "$work/arg.h" || { echo "--arg c=given"; failures=$((failures + 1)); }
expect 0 "data = 4" dump "$work/arg.weft:draw" --after elaborate --arg scale=2 --arg how=twice
expect 0 "data = 3" dump "$work/arg.weft:sample" --after elaborate
expect 0 "data = 0.5" dump "$work/arg.weft:sample" --after elaborate --arg sample.scale=0.5
arg 1 "\`draw\` needs a value for \`scale\`" --entry draw
arg 1 "\`draw\` needs a value for \`how\`" --arg scale=1
arg 1 "no entry that is compiled has a parameter \`scal\`" --arg scal=2
arg 1 "did you mean \`scale\`?" --arg scal=2
arg 1 "must be a number, this is the string \"x\"" --arg sample.scale='"x"'
arg 1 "\`c\` is a tensor that may be left out: given or none" --arg c=2
arg 1 "\`x\` is a tensor: who calls the object gives it" --arg x=2
arg 2 "--arg wants NAME=VALUE" --arg scale
arg 1 "\`scale\` is a parameter of the fn \`sample\`" --set scale=2
expect 0 "f32[4] = [1, 2, 3, 4]" run "$work/arg.weft:opt" x=[1,2,3,4]
expect 0 "f32[4] = [2, 3, 4, 5]" run "$work/arg.weft:opt" x=[1,2,3,4] c=[1,1,1,1]

# Products in bf16, the rest in f32, and not where the text says so itself.
cat >"$work/products.weft" <<'END'
model M {
  param w: f32[4, 3] = 1
  fn f(x: f32[B, 4]) -> f32[B, 3] = x @ w
  fn g(x: f32[B, 4]) -> f32[B, 3] {
    with precision: f32 { y = x @ w }
    return y
  }
}
END
expect 0 "dot(%2, %3) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : bf16[B,3]" \
    dump "$work/products.weft:f" --after elaborate --precision bf16
expect 0 ": f32[B,3]" dump "$work/products.weft:g" --after elaborate --precision bf16
expect 0 "f32[1,3] = [[2, 2, 2]]" run "$work/products.weft:f" x=[[1,1.0039,0,0]] --precision bf16
expect 0 "f32[1,3] = [[2.0039, 2.0039, 2.0039]]" run "$work/products.weft:g" x=[[1,1.0039,0,0]] --precision bf16
expect 2 "--precision is f32 or bf16" run "$work/products.weft:f" x=[[1,1,1,1]] --precision f16

# A gradient that does not exist is found by check, with both places.
cat >"$work/loop.weft" <<'END'
use nn
model M {
  param w: f32[3] = 1
  train step(x: f32[B, 3]) {
    y = x
    loop i in 0..5 while mean(y) < 10.0 { y = y * w }
    minimize mean(y) using nn.SGD(lr: 0.1)
  }
}
END
expect 1 "error[E0405]: a loop whose number of turns is known at run time only has no gradient" check "$work/loop.weft"
expect 1 "- the gradient is taken here" check "$work/loop.weft"
# A product of two constants under a sign, which the rules once handed to and fro without end.
expect 0 "train step" dump "$SOURCE_DIR/models/vampvae.weft:VampVAE:step" --shape B=8 --after simplify

# Prints come in order, in loops and on the side of a when that runs; an object has none unless that is wanted. A check in a
# loop is told with its own line.
cat >"$work/print.weft" <<'END'
model M {
  fn f(x: f32[N], k: i32[B]) -> f32[B] {
    y = zeros([B])
    loop i in 0..3 {
      when i > 0 { print(f32(i) * sum(x), "turn") }
      y += x[k + i]
    }
    assert max(x) < 100.0, "too high"
    return y |> print("result")
  }
}
END
expect 0 "turn: f32[] = 20
result: f32[2] = [6, 9]" run "$work/print.weft" x=[1,2,3,4] k=[0,1] --threads 2
expect 0 '{"print":"turn","type":"f32[]","value":"10"}' run "$work/print.weft" x=[1,2,3,4] k=[0,1] --json
expect 1 "an index is not in axis 0 of f32[N]" run "$work/print.weft" x=[1,2,3,4] k=[0,2] --threads 2
expect 1 "too high" run "$work/print.weft" x=[1,2,3,400] k=[0,1]
expect 1 "\`f\` prints, an object does not" build "$work/print.weft" --shape B=2 --shape N=4 -o "$work/print.o"
expect 0 "print.o" build "$work/print.weft" --shape B=2 --shape N=4 -o "$work/print.o" --keep-prints

# An ONNX model is written whole or not at all.
expect 1 "--shape NAME=SIZE gives a size its value" export "$model:f" -o "$work/m.onnx"
expect 1 "\`sample\` cannot be exported: ONNX has no operator for random numbers" export "$model:sample" --shape n=2 -o "$work/m.onnx"
[ -e "$work/m.onnx" ] && { echo "an ONNX model was left behind"; failures=$((failures + 1)); }
expect 0 "m.onnx" export "$model:f" --shape B=2 -o "$work/m.onnx"
[ -s "$work/m.onnx" ] || { echo "no ONNX model was written"; failures=$((failures + 1)); }
expect 1 "cannot be" export "$model:f" --shape B=2 -o "$work/none/m.onnx"
# The library's functions become operators that other runtimes know, however they are written there.
cat >"$work/known.weft" <<'END'
use nn
model K {
  let norm = nn.LayerNorm()
  let group = nn.GroupNorm(2)
  fn f(x: f32[B, 4, 6, 6]) -> f32[B, 4, _, _] =
    x |> norm |> relu |> leaky_relu(_, 0.2) |> gelu |> silu |> softmax |> group |> max_pool(_, 2) |> upsample(2) |> pad_reflect(_, 1)
    |> avg_pool(_, 3, stride: 1)
}
END
expect 0 "known.onnx" export "$work/known.weft" --shape B=1 -o "$work/known.onnx"
for operator in LayerNormalization Relu LeakyRelu Erf Sigmoid Softmax InstanceNormalization MaxPool Resize reflect AveragePool; do
    grep -qa "$operator" "$work/known.onnx" || {
        echo "weft export does not know $operator"
        failures=$((failures + 1))
    }
done
if grep -qaE 'Less|Where|ReduceMax|ReduceSum|Sqrt|Expand' "$work/known.onnx"; then
    echo "weft export leaves parts of a function: $(grep -oaE 'Less|Where|ReduceMax|ReduceSum|Sqrt|Expand' "$work/known.onnx" | sort | uniq -c)"
    failures=$((failures + 1))
fi

# A named tuple of tensors is given field by field, an optional tensor may be left out, a scalar has its default.
cat >"$work/forms.weft" <<'END'
model M {
  fn f(p: (mean: f32[B, 2], logvar: f32[B, 2]), k: f32 = -0.5) -> f32[B, 2] = p.mean + k * p.logvar
  fn h(x: f32[B], y: f32[B]? = none) -> f32[B] = if y == none { x } else { x + y }
  fn helper(x: f32[...N, D]) -> f32[...N] = sum(x, axis: -1)
  fn all_of(xs: [f32[B]]) -> f32[B] = sum(xs)
  fn masked(x: f32[B], mask: bool[...]? = none) -> f32[B] = if mask == none { x } else { where(mask, x, 0.0) }
}
END
expect 0 "ok" check "$work/forms.weft"
expect 0 "[[0, 1]]" run "$work/forms.weft:f" p.mean=[[1,2]] p.logvar=[[2,2]]
expect 0 "[[5, 6]]" run "$work/forms.weft:f" p.mean=[[1,2]] p.logvar=[[2,2]] k=2
expect 1 "\`f\` wants p.logvar=..." run "$work/forms.weft:f" p.mean=[[1,2]]
expect 0 "[1, 2]" run "$work/forms.weft:h" x=[1,2]
expect 0 "[2, 4]" run "$work/forms.weft:h" x=[1,2] y=[1,2]
expect 0 "[1, 2]" run "$work/forms.weft:masked" x=[1,2]
expect 1 "no fn or train named \`helper\`; it has \`f\`, \`h\` and \`masked\`" run "$work/forms.weft:helper" x=[1,2]

# Every command has a help that lists --help itself.
# The names of weights with dtype and shape, in order of declaration; what is never read has none.
cat >"$work/names.weft" <<'END'
use nn
model Names() {
  let layers = [nn.Linear(3), relu, nn.Linear(2, bias: false)]
  let unread = nn.Linear(7)
  param scale: f32[] = 1 as "log_scale"
  fn f(x: f32[B, 4]) -> f32[B, 2] = scale * (x |> layers)
}
END
wanted="layers.0.weight f32 [3, 4]
layers.0.bias f32 [3]
layers.2.weight f32 [2, 3]
log_scale f32 []"
found=$("$WEFT" check --names --quiet "$work/names.weft" 2>/dev/null)
if [ "$found" != "$wanted" ]; then
    echo "weft check --names lists: $found"
    failures=$((failures + 1))
fi

# What a fn wants besides tensors: a word without quotes for a string, a list, and the text's number for a scalar left out.
cat >"$work/choice.weft" <<'END'
model Choice() {
  fn pick(x: f32[N], scale: f32 = 2.5, how: string = "up", add: [float] = [0.0], times: float = 1.0) -> f32[N] =
    times * scale * (if how == "up" { x } else { -x }) + sum(add)
}
END
expect 0 "f32[2] = [2.5, 5]" run "$work/choice.weft" x=[1,2]
expect 0 "f32[2] = [-3, -7]" run "$work/choice.weft" x=[1,2] how=down scale=4 "add=[0.5, 0.5]"
expect 0 "f32[2] = [5, 10]" run "$work/choice.weft" x=[1,2] how='"up"' times=2.0
expect 1 "unknown name \`much\`" run "$work/choice.weft" x=[1,2] times=much
expect 1 "a number or a list is wanted" run "$work/choice.weft" x=[1,2] scale=much

for command in check run train build export bench profile dump plan repl fmt lsp inspect cache; do
    expect 0 "-h, --help" help $command
done
exit $((failures != 0))
