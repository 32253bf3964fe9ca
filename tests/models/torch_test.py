"""Models of models/ beside twins in PyTorch, written from the papers and with the member names of the public code: from the
same weights and inputs they must give the same numbers, to 1e-4 of the greatest. Skipped where torch is not installed; any
Python that has it will do: WEFT=build/release/weft SOURCE_DIR=. PYTHON tests/models/torch_test.py [NAME...]"""

import json
import math
import os
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    sys.exit(77)

TOLERANCE = 1e-4


# ---- calling weft ----------------------------------------------------------------------------------------------------


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        block = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def run_weft(entry, settings, weights, inputs):
    with tempfile.TemporaryDirectory() as folder:
        write_safetensors(f"{folder}/weights.safetensors", weights)
        command = [os.environ["WEFT"], "run", f"{os.environ['SOURCE_DIR']}/models/{entry}", "--cache", "off",
                   "-w", f"{folder}/weights.safetensors", "-o", f"{folder}/result.npy"]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        for name, value in inputs.items():
            array = value.numpy()
            np.save(f"{folder}/{name}.npy", array.astype(np.int32) if array.dtype == np.int64 else array)
            command.append(f"{name}={folder}/{name}.npy")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{entry}: {done.stderr}")
        return torch.from_numpy(np.load(f"{folder}/result.npy"))


def weights_of(module, prefix=""):
    """And buffers; a batch norm's count of batches is none of floats, and nobody's use here."""
    return {prefix + name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def group(**members):
    """Members under one name, with no forward of their own."""
    module = nn.Module()
    for name, member in members.items():
        setattr(module, name, member)
    return module


def stir(module):
    """Weights and statistics that begin as zeros or ones hide what they do."""
    for weight in module.parameters():
        if weight.dim() < 2 or not weight.any():
            weight.data += 0.1 * torch.randn_like(weight)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer += 0.2 * torch.rand_like(buffer)
    return module.eval()


# ---- classifiers -----------------------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    def __init__(self, before, ch, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, ch, 3, stride, 1, bias=False), nn.BatchNorm2d(ch)
        self.conv2, self.bn2 = nn.Conv2d(ch, ch, 3, 1, 1, bias=False), nn.BatchNorm2d(ch)
        self.downsample = nn.Sequential()
        if stride > 1 or before != ch:
            self.downsample = nn.Sequential(nn.Conv2d(before, ch, 1, stride, bias=False), nn.BatchNorm2d(ch))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


def resnet():
    m = group(conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False), bn1=nn.BatchNorm2d(64), fc=nn.Linear(512, 1000))
    for i in range(4):
        before, ch = max(32 << i, 64), 64 << i
        m.add_module(f"layer{i + 1}", nn.Sequential(BasicBlock(before, ch, 1 + (i > 0)), BasicBlock(ch, ch, 1)))
    stir(m)
    x = torch.randn(2, 3, 64, 96)
    y = F.max_pool2d(F.relu(m.bn1(m.conv1(x))), 3, 2, 1)
    y = m.fc(m.layer4(m.layer3(m.layer2(m.layer1(y)))).mean((2, 3)))
    yield "resnet.weft:logits", {}, weights_of(m), {"image": x}, y


def heads(x, n):
    return x.reshape(x.shape[0], x.shape[1], n, -1).transpose(1, 2)


def attend(q, k, v, n, mask=None):
    return F.scaled_dot_product_attention(heads(q, n), heads(k, n), heads(v, n), mask).transpose(1, 2).flatten(2)


def vit():
    d, n = 64, 4
    m = group(patch_embed=group(proj=nn.Conv2d(3, d, 8, 8)), norm=nn.LayerNorm(d, 1e-6), head=nn.Linear(d, 10))
    m.cls_token, m.pos_embed = nn.Parameter(torch.randn(1, 1, d)), nn.Parameter(torch.randn(1, 17, d))
    m.blocks = nn.ModuleList(
        group(norm1=nn.LayerNorm(d, 1e-6), attn=group(qkv=nn.Linear(d, 3 * d), proj=nn.Linear(d, d)),
              norm2=nn.LayerNorm(d, 1e-6), mlp=group(fc1=nn.Linear(d, 4 * d), fc2=nn.Linear(4 * d, d))) for _ in range(2))
    stir(m)
    image = torch.rand(2, 3, 32, 32)
    x = m.patch_embed.proj(2 * image - 1).flatten(2).transpose(1, 2)
    x = torch.cat([m.cls_token.expand(2, 1, d), x], 1) + m.pos_embed
    for b in m.blocks:
        x = x + b.attn.proj(attend(*b.attn.qkv(b.norm1(x)).chunk(3, 2), n))
        x = x + b.mlp.fc2(F.gelu(b.mlp.fc1(b.norm2(x))))
    settings = {"size": 32, "patch": 8, "dim": d, "depth": 2, "heads": n, "classes": 10}
    yield "vit.weft:logits", settings, weights_of(m), {"image": image}, m.head(m.norm(x)[:, 0])


# ---- adversaries -----------------------------------------------------------------------------------------------------


def dcgan():
    layers, before = [], 100
    for i, ch in enumerate([512, 256, 128, 64]):
        layers += [nn.ConvTranspose2d(before, ch, 4, 1 + (i > 0), int(i > 0), bias=False), nn.BatchNorm2d(ch), nn.ReLU()]
        before = ch
    m = stir(nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh()))
    z = torch.randn(2, 100)
    yield "dcgan.weft:generate", {}, weights_of(m, "generator.main."), {"code": z}, 0.5 + 0.5 * m(z[:, :, None, None])


class ResBlock(nn.Module):
    def __init__(self, ch):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(ch, ch, 3), nn.InstanceNorm2d(ch)]
        self.conv_block = nn.Sequential(*half, nn.ReLU(), nn.ReflectionPad2d(1), nn.Conv2d(ch, ch, 3), nn.InstanceNorm2d(ch))

    def forward(self, x):
        return x + self.conv_block(x)


def cyclegan():
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), nn.InstanceNorm2d(64), nn.ReLU()]
    for ch in [64, 128]:
        layers += [nn.Conv2d(ch, 2 * ch, 3, 2, 1), nn.InstanceNorm2d(2 * ch), nn.ReLU()]
    layers += [ResBlock(256) for _ in range(9)]
    for ch in [256, 128]:
        layers += [nn.ConvTranspose2d(ch, ch // 2, 3, 2, 1, 1), nn.InstanceNorm2d(ch // 2), nn.ReLU()]
    m = stir(nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh()))
    x = 2 * torch.rand(1, 3, 32, 32) - 1
    yield "cyclegan.weft:to_B", {}, weights_of(m, "netG_A.model."), {"a": x}, m(x)


# ---- CLIP ------------------------------------------------------------------------------------------------------------


class ClipBlock(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.attn, self.ln_1, self.ln_2 = nn.MultiheadAttention(d, n, batch_first=True), nn.LayerNorm(d), nn.LayerNorm(d)
        self.mlp = group(c_fc=nn.Linear(d, 4 * d), c_proj=nn.Linear(4 * d, d))

    def forward(self, x, mask=None):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(y * torch.sigmoid(1.702 * y))


def clip():
    d, w, out, size, length = 64, 48, 32, 32, 9
    v = group(conv1=nn.Conv2d(3, d, 8, 8, bias=False), ln_pre=nn.LayerNorm(d), ln_post=nn.LayerNorm(d),
              transformer=group(resblocks=nn.ModuleList(ClipBlock(d, 4) for _ in range(2))))
    v.class_embedding, v.positional_embedding = nn.Parameter(torch.randn(d)), nn.Parameter(torch.randn(17, d))
    v.proj = nn.Parameter(d**-0.5 * torch.randn(d, out))
    m = group(visual=v, transformer=group(resblocks=nn.ModuleList(ClipBlock(w, 4) for _ in range(2))),
              token_embedding=nn.Embedding(50, w), ln_final=nn.LayerNorm(w))
    m.positional_embedding = nn.Parameter(torch.randn(length, w))
    m.text_projection = nn.Parameter(w**-0.5 * torch.randn(w, out))
    m.logit_scale = nn.Parameter(torch.tensor(2.0))
    stir(m)
    image, tokens = torch.rand(3, 3, size, size), torch.stack([torch.randperm(50)[:length] for _ in range(4)])
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    x = v.conv1((image - mean[:, None, None]) / std[:, None, None]).flatten(2).transpose(1, 2)
    x = v.ln_pre(torch.cat([v.class_embedding.expand(3, 1, d), x], 1) + v.positional_embedding)
    for block in v.transformer.resblocks:
        x = block(x)
    seen = F.normalize(v.ln_post(x[:, 0]) @ v.proj, dim=1)
    x = m.token_embedding(tokens) + m.positional_embedding
    for block in m.transformer.resblocks:
        x = block(x, torch.full((length, length), -math.inf).triu(1))
    read = F.normalize(m.ln_final(x)[torch.arange(4), tokens.argmax(1)] @ m.text_projection, dim=1)
    settings = {"size": size, "patch": 8, "dim": d, "depth": 2, "heads": 4, "out": out, "vocab": 50, "length": length,
                "width": w, "layers": 2, "text_heads": 4}
    yield "clip.weft:logits", settings, weights_of(m), {"image": image, "tokens": tokens}, m.logit_scale.exp() * seen @ read.T


# ---- diffusion: the autoencoder's parts, which the U-Net of 2020 has too ------------------------------------------------


def norm6(ch):
    return nn.GroupNorm(32, ch, 1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, before, ch, emb=0):
        super().__init__()
        self.norm1, self.conv1 = norm6(before), nn.Conv2d(before, ch, 3, 1, 1)
        if emb:
            self.temb_proj = nn.Linear(emb, ch)
        self.norm2, self.conv2 = norm6(ch), nn.Conv2d(ch, ch, 3, 1, 1)
        if before != ch:
            self.nin_shortcut = nn.Conv2d(before, ch, 1)

    def forward(self, x, emb=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if emb is not None:
            h = h + self.temb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.norm, self.proj_out = norm6(ch), nn.Conv2d(ch, ch, 1)
        self.q, self.k, self.v = (nn.Conv2d(ch, ch, 1) for _ in range(3))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))
        return x + self.proj_out(attend(q, k, v, 1).transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.conv = nn.Conv2d(ch, ch, 3, 2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.conv = nn.Conv2d(ch, ch, 3, 1, 1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2))


def middle(ch, emb=0):
    return group(block_1=ResnetBlock(ch, ch, emb), attn_1=AttnBlock(ch), block_2=ResnetBlock(ch, ch, emb))


def through(m, x, *emb):
    return m.block_2(m.attn_1(m.block_1(x, *emb)), *emb)


def last(m, x):
    return m.conv_out(F.silu(m.norm_out(x)))


def level(m, x, *emb):
    for i, block in enumerate(m.block):
        x = block(x, *emb)
        yield (x := m.attn[i](x) if len(m.attn) else x)


def levels_down(chans, res, emb=0, looks=()):
    """chans: of each level, behind those that come in."""
    for i, (before, ch) in enumerate(zip(chans, chans[1:])):
        blocks = [ResnetBlock(before if k == 0 else ch, ch, emb) for k in range(res)]
        m = group(block=nn.ModuleList(blocks), attn=nn.ModuleList(AttnBlock(ch) for _ in range(res if i in looks else 0)))
        if i < len(chans) - 2:
            m.downsample = Downsample(ch)
        yield m


def ddpm_cifar():
    ch, chans, emb = 64, [64, 64, 128, 128], 256
    m = group(temb=group(dense=nn.ModuleList([nn.Linear(ch, emb), nn.Linear(emb, emb)])), conv_in=nn.Conv2d(3, ch, 3, 1, 1),
              down=nn.ModuleList(levels_down(chans, 2, emb, looks=[1])), mid=middle(128, emb))
    skips, ups, before = [64, 64, 64, 64, 128, 128, 128, 128, 128], [], 128  # of conv_in, blocks and halvings, in order
    for i, width in reversed(list(enumerate(chans[1:]))):
        blocks = []
        for _ in range(3):
            blocks.append(ResnetBlock(before + skips.pop(), width, emb))
            before = width
        up = group(block=nn.ModuleList(blocks), attn=nn.ModuleList(AttnBlock(width) for _ in range(3 * (i == 1))))
        if i > 0:
            up.upsample = Upsample(width)
        ups.insert(0, up)
    m.up, m.norm_out, m.conv_out = nn.ModuleList(ups), norm6(64), nn.Conv2d(64, 3, 3, 1, 1)
    stir(m)
    x, t = torch.randn(2, 3, 32, 32), torch.tensor([1, 700])
    a = t[:, None] * torch.exp(-math.log(10000) * torch.arange(ch // 2) / (ch // 2 - 1))
    e = m.temb.dense[1](F.silu(m.temb.dense[0](torch.cat([a.sin(), a.cos()], 1))))
    h = m.conv_in(x)
    seen = [h]
    for down in m.down:
        for h in level(down, h, e):
            seen.append(h)
        if hasattr(down, "downsample"):
            seen.append(h := down.downsample(h))
    h = through(m.mid, h, e)
    for up in reversed(m.up):
        for i, block in enumerate(up.block):
            h = block(torch.cat([h, seen.pop()], 1), e)
            h = up.attn[i](h) if len(up.attn) else h
        h = up.upsample(h) if hasattr(up, "upsample") else h
    yield "ddpm_cifar.weft:predict", {"ch": ch, "mult": "[1,2,2]"}, weights_of(m, "average."), {"x": x, "t": t}, last(m, h)


# ---- Stable Diffusion ------------------------------------------------------------------------------------------------


class Res(nn.Module):
    def __init__(self, before, emb, ch):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, before), nn.SiLU(), nn.Conv2d(before, ch, 3, 1, 1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, ch))
        self.out_layers = nn.Sequential(nn.GroupNorm(32, ch), nn.SiLU(), nn.Dropout(0), nn.Conv2d(ch, ch, 3, 1, 1))
        self.skip_connection = nn.Conv2d(before, ch, 1) if before != ch else nn.Identity()

    def forward(self, x, emb, _):
        return self.skip_connection(x) + self.out_layers(self.in_layers(x) + self.emb_layers(emb)[:, :, None, None])


class CrossAttention(nn.Module):
    def __init__(self, d, context, n):
        super().__init__()
        self.n, self.to_q = n, nn.Linear(d, d, bias=False)
        self.to_k, self.to_v = nn.Linear(context, d, bias=False), nn.Linear(context, d, bias=False)
        self.to_out = nn.Sequential(nn.Linear(d, d))

    def forward(self, x, c):
        return self.to_out(attend(self.to_q(x), self.to_k(c), self.to_v(c), self.n))


class GEGLU(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.proj = nn.Linear(d, 8 * d)

    def forward(self, x):
        a, g = self.proj(x).chunk(2, 2)
        return a * F.gelu(g)


class SpatialTransformer(nn.Module):
    def __init__(self, d, context, n):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = norm6(d), nn.Conv2d(d, d, 1), nn.Conv2d(d, d, 1)
        block = group(attn1=CrossAttention(d, d, n), attn2=CrossAttention(d, context, n), norm1=nn.LayerNorm(d),
                      norm2=nn.LayerNorm(d), norm3=nn.LayerNorm(d),
                      ff=group(net=nn.Sequential(GEGLU(d), nn.Dropout(0), nn.Linear(4 * d, d))))
        self.transformer_blocks = nn.ModuleList([block])

    def forward(self, x, _, context):
        y = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for b in self.transformer_blocks:
            n = b.norm1(y)
            y = y + b.attn1(n, n)
            y = y + b.attn2(b.norm2(y), context)
            y = y + b.ff.net(b.norm3(y))
        return x + self.proj_out(y.transpose(1, 2).reshape(x.shape))


class Plain(nn.Module):
    """A convolution under a name, between others that take more arguments."""

    def __init__(self, name, conv, scale=1):
        super().__init__()
        self.name, self.scale = name, scale
        self.add_module(name, conv)

    def forward(self, x, *_):
        return getattr(self, self.name)(F.interpolate(x, scale_factor=self.scale))


class Stem(nn.Conv2d):
    def forward(self, x, *_):
        return super().forward(x)


def sd_unet(z, ch, mult, res, n, context):
    """Attention at every level."""
    emb = 4 * ch
    pair = lambda before, width: [Res(before, emb, width), SpatialTransformer(width, context, n)]
    ins, skips, before = [[Stem(z, ch, 3, 1, 1)]], [ch], ch
    for i, factor in enumerate(mult):
        for _ in range(res):
            ins.append(pair(before, factor * ch))
            skips.append(before := factor * ch)
        if i < len(mult) - 1:
            ins.append([Plain("op", nn.Conv2d(before, before, 3, 2, 1))])
            skips.append(before)
    outs, top = [], before
    for i, factor in reversed(list(enumerate(mult))):
        for k in range(res + 1):
            outs.append(pair(before + skips.pop(), factor * ch))
            before = factor * ch
            if i > 0 and k == res:
                outs[-1].append(Plain("conv", nn.Conv2d(before, before, 3, 1, 1), 2))
    lists = lambda blocks: nn.ModuleList(nn.ModuleList(b) for b in blocks)
    return stir(group(time_embed=nn.Sequential(nn.Linear(ch, emb), nn.SiLU(), nn.Linear(emb, emb)), input_blocks=lists(ins),
                      middle_block=nn.ModuleList(pair(top, top) + [Res(top, emb, top)]), output_blocks=lists(outs),
                      out=nn.Sequential(nn.GroupNorm(32, ch), nn.SiLU(), nn.Conv2d(ch, z, 3, 1, 1))))


def sd_embedding(m, ch, t):
    a = t[:, None] * torch.exp(-math.log(10000) * torch.arange(ch // 2) / (ch // 2))
    return m.time_embed(torch.cat([a.cos(), a.sin()], 1))


def sd_down(m, x, emb, context, hint=0):
    """The skips, and last what the middle makes of them. `hint` is added behind the first block."""
    seen = []
    for i, block in enumerate(m.input_blocks):
        for layer in block:
            x = layer(x, emb, context)
        seen.append(x := x + hint if i == 0 else x)
    for layer in m.middle_block:
        x = layer(x, emb, context)
    return seen + [x]


def sd_up(m, emb, context, x, control=()):
    seen = sd_down(m, x, emb, context)
    seen = [a + b for a, b in zip(seen, control)] if control else seen
    x = seen.pop()
    for block in m.output_blocks:
        x = torch.cat([x, seen.pop()], 1)
        for layer in block:
            x = layer(x, emb, context)
    return m.out(x)


def sd_predict(m, ch, x, t, context, control=()):
    return sd_up(m, sd_embedding(m, ch, t), context, x, control)


def sd_text(m, tokens, n):
    x = m.embeddings.token_embedding(tokens) + m.embeddings.position_embedding.weight
    mask = torch.ones(x.shape[1], x.shape[1]).tril() > 0
    for b in m.encoder.layers:
        y, a = b.layer_norm1(x), b.self_attn
        x = x + a.out_proj(attend(a.q_proj(y), a.k_proj(y), a.v_proj(y), n, mask))
        y = b.mlp.fc1(b.layer_norm2(x))
        x = x + b.mlp.fc2(y * torch.sigmoid(1.702 * y))
    return m.final_layer_norm(x)


def stable_diffusion():
    ch, n, w, vae, chans, z = 64, 4, 48, "first_stage_model.", [32, 32, 64, 64], 4
    settings = {"ch": ch, "mult": "[1,2]", "res": 2, "attn": "[1,2]", "heads": n, "vae_ch": 32, "vae_mult": "[1,2,2]",
                "z": z, "vocab": 99, "length": 7, "width": w, "layers": 2, "text_heads": 4}
    m = sd_unet(z, ch, [1, 2], 2, n, w)
    x, t, c = torch.randn(2, z, 8, 16), torch.tensor([3, 800]), torch.randn(2, 7, w)
    yield ("stable_diffusion.weft:predict", settings, weights_of(m, "model.diffusion_model."),
           {"x": x, "t": t, "context": c}, sd_predict(m, ch, x, t, c))

    m = stir(group(encoder=group(conv_in=nn.Conv2d(3, 32, 3, 1, 1), down=nn.ModuleList(levels_down(chans, 2)),
                                 mid=middle(64), norm_out=norm6(64), conv_out=nn.Conv2d(64, 2 * z, 3, 1, 1)),
                   quant_conv=nn.Conv2d(2 * z, 2 * z, 1)))
    picture = torch.rand(1, 3, 32, 48)
    h = m.encoder.conv_in(2 * picture - 1)
    for down in m.encoder.down:
        *_, h = level(down, h)
        h = down.downsample(h) if hasattr(down, "downsample") else h
    mean = m.quant_conv(last(m.encoder, through(m.encoder.mid, h))).chunk(2, 1)[0]
    yield "stable_diffusion.weft:latents", settings, weights_of(m, vae), {"picture": picture}, 0.18215 * mean

    ups = [group(block=nn.ModuleList(ResnetBlock(before if k == 0 else width, width) for k in range(3)), attn=[])
           for before, width in [(64, 32), (64, 64), (64, 64)]]
    for up, width in zip(ups[1:], [64, 64]):
        up.upsample = Upsample(width)
    m = stir(group(post_quant_conv=nn.Conv2d(z, z, 1),
                   decoder=group(conv_in=nn.Conv2d(z, 64, 3, 1, 1), mid=middle(64), up=nn.ModuleList(ups), norm_out=norm6(32),
                                 conv_out=nn.Conv2d(32, 3, 3, 1, 1))))
    y = 0.2 * torch.randn(1, z, 8, 12)
    h = through(m.decoder.mid, m.decoder.conv_in(m.post_quant_conv(y / 0.18215)))
    for up in reversed(m.decoder.up):
        *_, h = level(up, h)
        h = up.upsample(h) if hasattr(up, "upsample") else h
    image = (0.5 + 0.5 * last(m.decoder, h)).clamp(0, 1)
    yield "stable_diffusion.weft:image", settings, weights_of(m, vae), {"y": y}, image

    line = lambda: nn.Linear(w, w)
    layers = nn.ModuleList(
        group(self_attn=group(k_proj=line(), v_proj=line(), q_proj=line(), out_proj=line()), layer_norm1=nn.LayerNorm(w),
              mlp=group(fc1=nn.Linear(w, 4 * w), fc2=nn.Linear(4 * w, w)), layer_norm2=nn.LayerNorm(w)) for _ in range(2))
    m = stir(group(embeddings=group(token_embedding=nn.Embedding(99, w), position_embedding=nn.Embedding(7, w)),
                   encoder=group(layers=layers), final_layer_norm=nn.LayerNorm(w)))
    tokens = torch.randint(0, 99, (2, 7))
    yield ("stable_diffusion.weft:read", settings, weights_of(m, "cond_stage_model.transformer.text_model."),
           {"tokens": tokens}, sd_text(m, tokens, 4))


def controlnet():
    ch, n, w, z = 64, 4, 48, 4
    settings = {"ch": ch, "mult": "[1,2]", "res": 2, "attn": "[1,2]", "heads": n, "vae_ch": 32, "vae_mult": "[1,2,2]",
                "z": z, "vocab": 99, "length": 7, "width": w, "layers": 2, "text_heads": 4}
    sd, m = sd_unet(z, ch, [1, 2], 2, n, w), sd_unet(z, ch, [1, 2], 2, n, w)
    del m.output_blocks, m.out
    m.zero_convs = nn.ModuleList(nn.ModuleList([nn.Conv2d(k, k, 1)]) for k in [64, 64, 64, 64, 128, 128])
    m.middle_block_out = nn.ModuleList([nn.Conv2d(128, 128, 1)])
    layers, before = [], 3
    for k, stride in [(16, 1), (16, 1), (32, 2), (32, 1), (96, 2), (96, 1), (256, 1), (ch, 1)]:
        layers += [nn.Conv2d(before, k, 3, stride, 1), nn.SiLU()]
        before = k
    m.input_hint_block = nn.Sequential(*layers[:-1])
    x, t, c, hint = torch.randn(2, z, 8, 16), torch.tensor([3, 800]), torch.randn(2, 7, w), torch.rand(2, 3, 32, 64)
    *skips, end = sd_down(m, x, sd_embedding(m, ch, t), c, m.input_hint_block(hint))
    control = [zero[0](skip) for zero, skip in zip(m.zero_convs, skips)] + [m.middle_block_out[0](end)]
    yield ("controlnet.weft:predict", settings,
           {**weights_of(sd, "model.diffusion_model."), **weights_of(m, "control_model.")},
           {"x": x, "t": t, "context": c, "hint": hint}, sd_predict(sd, ch, x, t, c, control))


class LinearTransformer(nn.Module):
    """SpatialTransformer with linear projections and several blocks, as SDXL has it."""

    def __init__(self, d, context, n, depth):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = norm6(d), nn.Linear(d, d), nn.Linear(d, d)
        self.transformer_blocks = nn.ModuleList(
            SpatialTransformer(d, context, n).transformer_blocks[0] for _ in range(depth))

    def forward(self, x, _, context):
        y = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for b in self.transformer_blocks:
            n = b.norm1(y)
            y = y + b.attn1(n, n)
            y = y + b.attn2(b.norm2(y), context)
            y = y + b.ff.net(b.norm3(y))
        return x + self.proj_out(y).transpose(1, 2).reshape(x.shape)


def sdxl():
    """Widths 64 and 128, heads of 16, two transformer blocks at the smaller size and none at the other."""
    ch, context, whole, emb = 64, 48, 32 + 6 * 256, 256
    settings = {"ch": ch, "head": 16, "mult": "[1,2]", "depth": "[0,2]", "res": 1, "vae_ch": 32, "vae_mult": "[1,2]",
                "vocab": 99, "length": 7, "width": 16, "layers": 2, "text_heads": 2, "big_width": 32, "big_layers": 3,
                "big_heads": 2}
    plain = lambda before, width: [Res(before, emb, width)]
    deep = lambda before: [Res(before, emb, 128), LinearTransformer(128, context, 8, 2)]
    half, twice = Plain("op", nn.Conv2d(64, 64, 3, 2, 1)), Plain("conv", nn.Conv2d(128, 128, 3, 1, 1), 2)
    lists = lambda blocks: nn.ModuleList(nn.ModuleList(b) for b in blocks)
    m = stir(group(time_embed=nn.Sequential(nn.Linear(ch, emb), nn.SiLU(), nn.Linear(emb, emb)),
                   label_emb=nn.Sequential(nn.Sequential(nn.Linear(whole, emb), nn.SiLU(), nn.Linear(emb, emb))),
                   input_blocks=lists([[Stem(4, ch, 3, 1, 1)], plain(64, 64), [half], deep(64)]),
                   middle_block=nn.ModuleList(deep(128) + plain(128, 128)),
                   output_blocks=lists([deep(128 + 128), deep(128 + 64) + [twice], plain(128 + 64, 64), plain(64 + 64, 64)]),
                   out=nn.Sequential(nn.GroupNorm(32, ch), nn.SiLU(), nn.Conv2d(ch, 4, 3, 1, 1))))
    x, t, rows, w = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 7, context), torch.randn(2, whole)
    want = sd_up(m, sd_embedding(m, ch, t) + m.label_emb(w), rows, x)
    yield ("sdxl.weft:predict", settings, weights_of(m, "model.diffusion_model."),
           {"x": x, "t": t, "rows": rows, "whole": w}, want)


TWINS = [resnet, vit, dcgan, cyclegan, clip, ddpm_cifar, stable_diffusion, sdxl, controlnet]


def main(names):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    wrong = 0
    for twin in TWINS:
        if names and twin.__name__ not in names:
            continue
        with torch.no_grad():
            for entry, settings, weights, inputs, want in twin():
                got = run_weft(entry, settings, weights, inputs)
                error = ((got - want).abs().max() / want.abs().max()).item()
                wrong += not error <= TOLERANCE
                print(f"{entry:32} {str(tuple(want.shape)):20} max|a-b| / max|b| = {error:.2e}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
