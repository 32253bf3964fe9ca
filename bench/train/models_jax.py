"""The models of bench/train in JAX: the same mathematics, weights laid out as in models/*.weft.

Each model is a function of a key that gives (params, step, whether there is a moving average), and step(params, opt, key,
batch...) -> (params, opt, loss) is jitted, its buffers donated. The models further down are functions of the weights of
Weft's init, a dict by the names of the model's text; they give (params, opt, step). Behind the batch their steps take
what they would draw, so that check.py can give the same to all.
"""
import math

import jax
import jax.numpy as jnp


def linear(p, x):
    return x @ p["w"].T + p["b"]


def conv(p, x, stride=1, pad=0):
    y = jax.lax.conv_general_dilated(x, p["w"], (stride, stride), [(pad, pad), (pad, pad)],
                                     dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y + p["b"][:, None, None]


def dense(key, out, fan):
    k1, k2 = jax.random.split(key)
    bound = 1 / math.sqrt(fan)
    return {"w": jax.random.uniform(k1, (out, fan), minval=-bound, maxval=bound),
            "b": jax.random.uniform(k2, (out,), minval=-bound, maxval=bound)}


def kernel(key, out, c, k):
    k1, k2 = jax.random.split(key)
    bound = 1 / math.sqrt(c * k * k)
    return {"w": jax.random.uniform(k1, (out, c, k, k), minval=-bound, maxval=bound),
            "b": jax.random.uniform(k2, (out,), minval=-bound, maxval=bound)}


def adam_init(params):
    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    return {"m": zeros, "v": jax.tree_util.tree_map(jnp.zeros_like, params), "k": jnp.zeros((), jnp.int32)}


def adam(params, grads, opt, lr, b1=0.9, b2=0.999, eps=1e-8, decay=0.0):
    tm = jax.tree_util.tree_map
    k = opt["k"] + 1
    m = tm(lambda m, g: b1 * m + (1 - b1) * g, opt["m"], grads)
    v = tm(lambda v, g: b2 * v + (1 - b2) * g * g, opt["v"], grads)
    c1, c2 = 1 - b1**k.astype(jnp.float32), 1 - b2**k.astype(jnp.float32)

    def move(p, m, v):
        w = p * (1 - lr * decay) if decay and p.ndim > 1 else p
        return w - lr * (m / c1) / (jnp.sqrt(v / c2) + eps)

    return tm(move, params, m, v), {"m": m, "v": v, "k": k}


def make_step(loss, lr, decay=0.0, clip=None, ema=None):
    def step(params, opt, key, *batch):
        key = jax.random.fold_in(key, opt["k"])
        value, grads = jax.value_and_grad(loss)(params, key, *batch)
        if clip:
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree_util.tree_leaves(grads)))
            grads = jax.tree_util.tree_map(lambda g: g * jnp.minimum(1.0, clip / (norm + 1e-6)), grads)
        average = opt.pop("average", None)
        params, opt = adam(params, grads, opt, lr, decay=decay)
        if ema:
            opt["average"] = jax.tree_util.tree_map(lambda a, p: ema * a + (1 - ema) * p, average, params)
        return params, opt, value

    return jax.jit(step, donate_argnums=(0, 1))


# ---- LeNet-5 ----
def lenet(key):
    k = jax.random.split(key, 5)
    params = {"c1": kernel(k[0], 6, 1, 5), "c2": kernel(k[1], 16, 6, 5), "f1": dense(k[2], 120, 400),
              "f2": dense(k[3], 84, 120), "f3": dense(k[4], 10, 84)}

    def pool(x):
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def loss(p, key, image, label):
        x = pool(jax.nn.relu(conv(p["c1"], 2 * image - 1, pad=2)))
        x = pool(jax.nn.relu(conv(p["c2"], x)))
        x = x.reshape(x.shape[0], -1)
        x = linear(p["f3"], jax.nn.relu(linear(p["f2"], jax.nn.relu(linear(p["f1"], x)))))
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), label[:, None], axis=1))

    return params, make_step(loss, 1e-3, decay=1e-4), False


# ---- the dense VAE ----
def vae(key):
    k = jax.random.split(key, 5)
    params = {"e": dense(k[0], 400, 784), "mu": dense(k[1], 20, 400), "lv": dense(k[2], 20, 400),
              "d1": dense(k[3], 400, 20), "d2": dense(k[4], 784, 400)}

    def loss(p, key, image):
        x = image.reshape(image.shape[0], -1)
        h = jax.nn.relu(linear(p["e"], x))
        mu, lv = linear(p["mu"], h), linear(p["lv"], h)
        z = mu + jnp.exp(0.5 * lv) * jax.random.normal(key, mu.shape)
        y = linear(p["d2"], jax.nn.relu(linear(p["d1"], z)))
        nll = jnp.mean(jnp.sum(jax.nn.softplus(y) - y * x, axis=1))
        kl = -0.5 * jnp.mean(jnp.sum(1 + lv - mu**2 - jnp.exp(lv), axis=1))
        return nll + kl

    return params, make_step(loss, 1e-3), False


# ---- the small DDPM ----
def block_params(key, c, ch, emb):
    k = jax.random.split(key, 4)
    p = {"n1": (jnp.ones(c), jnp.zeros(c)), "c1": kernel(k[0], ch, c, 3), "t": dense(k[1], ch, emb),
         "n2": (jnp.ones(ch), jnp.zeros(ch)), "c2": kernel(k[2], ch, ch, 3)}
    if c != ch:
        p["s"] = kernel(k[3], ch, c, 1)
    return p


def group_norm(p, x, groups=8):
    b, c, h, w = x.shape
    g = x.reshape(b, groups, -1)
    g = (g - g.mean(2, keepdims=True)) * jax.lax.rsqrt(g.var(2, keepdims=True) + 1e-5)
    return g.reshape(x.shape) * p[0][:, None, None] + p[1][:, None, None]


def block(p, x, emb):
    h = conv(p["c1"], jax.nn.silu(group_norm(p["n1"], x)), pad=1)
    h = h + linear(p["t"], jax.nn.silu(emb))[:, :, None, None]
    h = conv(p["c2"], jax.nn.silu(group_norm(p["n2"], h)), pad=1)
    return h + (conv(p["s"], x) if "s" in p else x)


def attend(p, x, heads=4):
    b, c, h, w = x.shape
    z = conv(p["qkv"], group_norm(p["n"], x)).reshape(b, 3, heads, c // heads, h * w)
    q, k, v = (jnp.swapaxes(z[:, i], 2, 3) for i in range(3))
    a = jax.nn.softmax(q @ jnp.swapaxes(k, 2, 3) * (c // heads) ** -0.5) @ v
    return x + conv(p["proj"], jnp.swapaxes(a, 2, 3).reshape(b, c, h, w))


def up(x):
    return jnp.repeat(jnp.repeat(x, 2, axis=2), 2, axis=3)


def ddpm(key, ch=32, T=1000):
    k = jax.random.split(key, 16)
    a, b, c, e = ch, 2 * ch, 4 * ch, 4 * ch
    params = {"t1": dense(k[0], e, ch), "t2": dense(k[1], e, e), "stem": kernel(k[2], ch, 1, 3),
              "in1": block_params(k[3], ch, a, e), "d1": kernel(k[4], a, a, 3), "in2": block_params(k[5], a, b, e),
              "d2": kernel(k[6], b, b, 3), "in3": block_params(k[7], b, c, e),
              "at": {"n": (jnp.ones(c), jnp.zeros(c)), "qkv": kernel(k[8], 3 * c, c, 1), "proj": kernel(k[9], c, c, 1)},
              "out3": block_params(k[10], c, c, e), "u2": kernel(k[11], b, c, 3), "out2": block_params(k[12], 2 * b, b, e),
              "u1": kernel(k[13], a, b, 3), "out1": block_params(k[14], 2 * a, a, e),
              "n": (jnp.ones(a), jnp.zeros(a)), "out": kernel(k[15], 1, a, 3)}
    f = [min(1 - math.cos(((t + 1) / T + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2, 0.999)
         for t in range(T)]
    abar = jnp.cumprod(1 - jnp.array(f))
    freq = jnp.array([math.exp(-math.log(10000.0) * i / (ch / 2)) for i in range(ch // 2)])

    def net(p, x, t):
        angle = t[:, None].astype(jnp.float32) * freq
        emb = linear(p["t2"], jax.nn.silu(linear(p["t1"], jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1))))
        h1 = block(p["in1"], conv(p["stem"], x, pad=1), emb)
        h2 = block(p["in2"], conv(p["d1"], h1, stride=2, pad=1), emb)
        h3 = block(p["in3"], conv(p["d2"], h2, stride=2, pad=1), emb)
        h3 = block(p["out3"], attend(p["at"], h3), emb)
        h2 = block(p["out2"], jnp.concatenate([conv(p["u2"], up(h3), pad=1), h2], axis=1), emb)
        h1 = block(p["out1"], jnp.concatenate([conv(p["u1"], up(h2), pad=1), h1], axis=1), emb)
        return conv(p["out"], jax.nn.silu(group_norm(p["n"], h1)), pad=1)

    def loss(p, key, image):
        k1, k2 = jax.random.split(key)
        x0 = 2 * image - 1
        t = jax.random.randint(k1, (x0.shape[0],), 0, T)
        noise = jax.random.normal(k2, x0.shape)
        s = abar[t][:, None, None, None]
        return jnp.mean((net(p, jnp.sqrt(s) * x0 + jnp.sqrt(1 - s) * noise, t) - noise) ** 2)

    return params, make_step(loss, 5e-4, clip=1.0, ema=0.999), True


# ---- what the models below share: params is a dict, p + "conv1" the place of a module in it ----
def at(params, name):
    return {"w": params[name + ".weight"], "b": params.get(name + ".bias")}


def conv_at(params, name, x, stride=1, pad=0):
    p = at(params, name)
    y = jax.lax.conv_general_dilated(x, p["w"], (stride, stride), [(pad, pad), (pad, pad)],
                                     dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y if p["b"] is None else y + p["b"][:, None, None]


def linear_at(params, name, x):
    return linear(at(params, name), x)


# ---- DCGAN ----
def conv_transpose(params, name, x, stride, pad):
    w = params[name + ".weight"]  # [in, out, k, k]
    side = w.shape[-1] - 1 - pad
    return jax.lax.conv_general_dilated(x, w[:, :, ::-1, ::-1], (1, 1), [(side, side)] * 2, lhs_dilation=(stride, stride),
                                        dimension_numbers=("NCHW", "IOHW", "NCHW"))


def batch_norm(params, stats, name, x, momentum=0.1, eps=1e-5):
    m, v = x.mean((0, 2, 3)), x.var((0, 2, 3))
    n = x.size // x.shape[1]
    for kind, now in (("mean", m), ("var", v * n / (n - 1))):
        key = f"{name}.running_{kind}"
        stats[key] = (1 - momentum) * stats[key] + momentum * jax.lax.stop_gradient(now)
    a = params[name + ".weight"] * jax.lax.rsqrt(v + eps)
    return (x - m[:, None, None]) * a[:, None, None] + params[name + ".bias"][:, None, None]


def dcgan(weights, lr=2e-4, beta1=0.5):
    def players(params):
        return [{k: v for k, v in params.items() if k.startswith(who)} for who in ("generator", "discriminator")]

    def generator(p, stats, z):
        last = max(int(k.split(".")[2]) for k in p)
        x = z[:, :, None, None]
        for i in range(0, last, 3):
            x = conv_transpose(p, f"generator.main.{i}", x, 1 if i == 0 else 2, 0 if i == 0 else 1)
            x = jax.nn.relu(batch_norm(p, stats, f"generator.main.{i + 1}", x))
        return jnp.tanh(conv_transpose(p, f"generator.main.{last}", x, 2, 1))

    def discriminator(p, stats, x):
        last = max(int(k.split(".")[2]) for k in p)
        x = jax.nn.leaky_relu(conv_at(p, "discriminator.main.0", x, 2, 1), 0.2)
        for i in range(2, last, 3):
            x = batch_norm(p, stats, f"discriminator.main.{i + 1}", conv_at(p, f"discriminator.main.{i}", x, 2, 1))
            x = jax.nn.leaky_relu(x, 0.2)
        return conv_at(p, f"discriminator.main.{last}", x).reshape(-1)

    def step(params, opt, key, image, code=None):
        if code is None:
            code = jax.random.normal(jax.random.fold_in(key, opt["g"]["k"]), (image.shape[0], 100))
        stats = dict(opt["stats"])
        g, d = players(params)
        # One forward pass of the generator: its fake images serve both players.
        def make(g):
            s = dict(stats)
            return generator(g, s, code), s

        fake, back, stats = jax.vjp(make, g, has_aux=True)

        def d_loss(d):
            s = dict(stats)
            real = discriminator(d, s, 2 * image - 1)
            made = discriminator(d, s, fake)
            return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(made)), s

        (d_value, stats), grads = jax.value_and_grad(d_loss, has_aux=True)(d)
        d, opt_d = adam(d, grads, opt["d"], lr, b1=beta1)

        def g_loss(fake):
            s = dict(stats)
            return jnp.mean(jax.nn.softplus(-discriminator(d, s, fake))), s

        (g_value, stats), slope = jax.value_and_grad(g_loss, has_aux=True)(fake)
        (grads,) = back(slope)
        g, opt_g = adam(g, grads, opt["g"], lr, b1=beta1)
        return {**g, **d}, {"g": opt_g, "d": opt_d, "stats": stats}, d_value + g_value

    g, d = players(weights)
    norms = [k[:-7] for k, v in weights.items() if k.endswith(".weight") and v.ndim == 1]
    stats = {}
    for k in norms:
        stats[k + ".running_mean"] = jnp.zeros_like(weights[k + ".weight"])
        stats[k + ".running_var"] = jnp.ones_like(weights[k + ".weight"])
    return weights, {"g": adam_init(g), "d": adam_init(d), "stats": stats}, jax.jit(step, donate_argnums=(0, 1))


# ---- the DDPM for CIFAR-10 ----
def norm32(p, name, x):
    b, c, h, w = x.shape
    g = x.reshape(b, 32, -1)
    g = (g - g.mean(2, keepdims=True)) * jax.lax.rsqrt(g.var(2, keepdims=True) + 1e-6)
    return g.reshape(x.shape) * p[name + ".weight"][:, None, None] + p[name + ".bias"][:, None, None]


def res_block(p, name, x, emb):
    h = conv_at(p, name + ".conv1", jax.nn.silu(norm32(p, name + ".norm1", x)), pad=1)
    h = h + linear_at(p, name + ".temb_proj", jax.nn.silu(emb))[:, :, None, None]
    h = conv_at(p, name + ".conv2", jax.nn.silu(norm32(p, name + ".norm2", h)), pad=1)
    return h + (conv_at(p, name + ".nin_shortcut", x) if name + ".nin_shortcut.weight" in p else x)


def attn_block(p, name, x):
    b, c, h, w = x.shape
    n = norm32(p, name + ".norm", x)
    q, k, v = (conv_at(p, f"{name}.{part}", n).reshape(b, c, h * w) for part in "qkv")
    a = jax.nn.softmax(jnp.einsum("bcn,bcm->bnm", q, k) * c**-0.5)
    return x + conv_at(p, name + ".proj_out", jnp.einsum("bnm,bcm->bcn", a, v).reshape(x.shape))


def ddpm_cifar(weights, ch=128, T=1000, levels=4, res=2):
    params = {k[4:]: v for k, v in weights.items() if k.startswith("net.")}
    abar = jnp.cumprod(1 - jnp.linspace(1e-4, 0.02, T))
    freq = jnp.array([math.exp(-math.log(10000.0) * i / (ch // 2 - 1)) for i in range(ch // 2)])

    def attend_at(p, name, x):
        return attn_block(p, name, x) if name + ".q.weight" in p else x

    def net(p, x, t):
        angle = t[:, None].astype(jnp.float32) * freq
        emb = linear_at(p, "temb.dense.0", jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1))
        emb = linear_at(p, "temb.dense.1", jax.nn.silu(emb))
        h = conv_at(p, "conv_in", x, pad=1)
        skips = [h]
        for i in range(levels):
            for k in range(res):
                h = attend_at(p, f"down.{i}.attn.{k}", res_block(p, f"down.{i}.block.{k}", h, emb))
                skips.append(h)
            if i < levels - 1:
                h = conv_at(p, f"down.{i}.downsample.conv", jnp.pad(h, [(0, 0), (0, 0), (0, 1), (0, 1)]), stride=2)
                skips.append(h)
        h = attn_block(p, "mid.attn_1", res_block(p, "mid.block_1", h, emb))
        h = res_block(p, "mid.block_2", h, emb)
        for i in reversed(range(levels)):
            for k in range(res + 1):
                h = res_block(p, f"up.{i}.block.{k}", jnp.concatenate([h, skips.pop()], axis=1), emb)
                h = attend_at(p, f"up.{i}.attn.{k}", h)
            if i > 0:
                h = conv_at(p, f"up.{i}.upsample.conv", up(h), pad=1)
        return conv_at(p, "conv_out", jax.nn.silu(norm32(p, "norm_out", h)), pad=1)

    def loss(p, key, image, t=None, noise=None):
        x0 = 2 * image - 1
        if t is None:
            k1, k2 = jax.random.split(key)
            t, noise = jax.random.randint(k1, (x0.shape[0],), 0, T), jax.random.normal(k2, x0.shape)
        s = abar[t][:, None, None, None]
        return jnp.mean((net(p, jnp.sqrt(s) * x0 + jnp.sqrt(1 - s) * noise, t) - noise) ** 2)

    opt = {**adam_init(params), "average": jax.tree_util.tree_map(jnp.array, params)}
    return params, opt, make_step(loss, 2e-4, clip=1.0, ema=0.9999)


# ---- the Vision Transformer ----
def vit(weights, heads=6, depth=12):
    def norm(p, name, x):
        y = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)
        return y * p[name + ".weight"] + p[name + ".bias"]

    def block(p, name, x):
        b, n, d = x.shape
        z = linear_at(p, name + ".attn.qkv", norm(p, name + ".norm1", x)).reshape(b, n, 3, heads, d // heads)
        q, k, v = z[:, :, 0], z[:, :, 1], z[:, :, 2]
        a = jax.nn.softmax(jnp.einsum("bnhd,bmhd->bhnm", q, k) * (d // heads) ** -0.5)
        x = x + linear_at(p, name + ".attn.proj", jnp.einsum("bhnm,bmhd->bnhd", a, v).reshape(b, n, d))
        h = jax.nn.gelu(linear_at(p, name + ".mlp.fc1", norm(p, name + ".norm2", x)), approximate=False)
        return x + linear_at(p, name + ".mlp.fc2", h)

    def loss(p, key, image, label):
        patch = p["patch_embed.proj.weight"].shape[-1]
        x = conv_at(p, "patch_embed.proj", 2 * image - 1, stride=patch)
        x = jnp.swapaxes(x.reshape(*x.shape[:2], -1), 1, 2)
        x = jnp.concatenate([jnp.broadcast_to(p["cls_token"], (x.shape[0], 1, x.shape[2])), x], axis=1) + p["pos_embed"]
        for i in range(depth):
            x = block(p, f"blocks.{i}", x)
        z = linear_at(p, "head", norm(p, "norm", x)[:, 0])
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), label[:, None], axis=1))

    return weights, adam_init(weights), make_step(loss, 1e-3, decay=0.05, clip=1.0)
