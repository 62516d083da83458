"""The LSTM-UNet in PyTorch: the independent statement of the model that golden tensors are computed with.

Not part of the product, which never runs Python. Works with PyTorch 1.13 and 2. State-dict keys are those of the C trainer.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

STAGE_DEPTHS = (3, 4, 6, 3)  # ResNet-50


def conv(inputs, outputs, kernel, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)


class ResidualBlock(nn.Module):
    """1x1, 3x3 (strided), 1x1 with batch normalization, around a shortcut."""

    def __init__(self, inputs, middle, stride):
        super().__init__()
        outputs = middle * 4
        self.conv1, self.bn1 = conv(inputs, middle, 1), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = conv(middle, middle, 3, stride), nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = conv(middle, outputs, 1), nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(inner)) + self.downsample(x)).relu()


class Encoder(nn.Module):
    def __init__(self, bands, width):
        super().__init__()
        self.conv1, self.bn1 = conv(bands, width, 7, 2), nn.BatchNorm2d(width)
        self.channels, inputs = [width], width
        for stage, depth in enumerate(STAGE_DEPTHS):
            middle, blocks = width * 2**stage, []
            for block in range(depth):
                blocks.append(ResidualBlock(inputs, middle, 2 if stage and not block else 1))
                inputs = middle * 4
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            self.channels.append(inputs)

    def forward(self, frames):
        scales = [self.bn1(self.conv1(frames)).relu()]
        x = F.max_pool2d(scales[0], kernel_size=3, stride=2, padding=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            scales.append(x)
        return scales


class GateConv(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.conv = conv(inputs + hidden, 4 * hidden, 3, bias=True)
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)


class ConvLSTM(nn.Module):
    def __init__(self, inputs, hidden, layers):
        super().__init__()
        self.hidden = hidden
        self.cell_list = nn.ModuleList(GateConv(hidden if layer else inputs, hidden) for layer in range(layers))

    def forward(self, steps):
        """A list of T tensors (B,C,h,w); the last layer's hidden state after the last of them."""
        for layer in self.cell_list:
            b, _, height, width = steps[0].shape
            h = c = steps[0].new_zeros(b, self.hidden, height, width)
            states = []
            for x in steps:
                i, f, g, o = torch.chunk(layer.conv(torch.cat((x, h), dim=1)), 4, dim=1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                states.append(h)
            steps = states
        return steps[-1]


class DecoderStage(nn.Module):
    def __init__(self, inputs, skip, outputs, upsample):
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        if upsample == "transposed":
            self.up, inputs = nn.ConvTranspose2d(inputs, outputs, 2, stride=2), outputs
        self.conv1 = nn.Sequential(conv(inputs + skip, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU())
        self.conv2 = nn.Sequential(conv(outputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x, skip):
        x = self.up(x)
        return self.conv2(self.conv1(x if skip is None else torch.cat((x, skip), dim=1)))


class Decoder(nn.Module):
    def __init__(self, inputs, skips, channels, upsample):
        super().__init__()
        sources = [inputs, *channels[:-1]]
        self.blocks = nn.ModuleList(DecoderStage(a, s, b, upsample) for a, s, b in zip(sources, skips, channels))

    def forward(self, x, skips):
        for stage, skip in zip(self.blocks, skips):
            x = stage(x, skip)
        return x


class LSTMUNet(nn.Module):
    """(B,T,C,H,W) to logits (B,1,H,W)."""

    def __init__(self, bands, width, hidden, layers, channels, upsample, skip):
        super().__init__()
        self.aggregate = {"max": lambda f: f.max(dim=1).values, "mean": lambda f: f.mean(dim=1),
                          "last": lambda f: f[:, -1]}[skip]
        self.encoder = Encoder(bands, width)
        *skips, deepest = self.encoder.channels
        self.convlstm = ConvLSTM(deepest, hidden, layers)
        self.decoder = Decoder(hidden, [*reversed(skips), 0], channels, upsample)
        self.segmentation_head = nn.Sequential(conv(channels[-1], 1, 3, bias=True))

    def forward(self, images):
        batch, steps = images.shape[:2]
        *scales, deepest = (f.unflatten(0, (batch, steps)) for f in self.encoder(images.flatten(0, 1)))
        skips = [self.aggregate(f) for f in reversed(scales)]
        return self.segmentation_head(self.decoder(self.convlstm(list(deepest.unbind(1))), [*skips, None]))


def focal_loss(logits, mask, alpha, gamma):
    """Lin et al. 2017, the mean over pixels; logits (B,1,H,W), mask (B,H,W) of 0 and 1."""
    signed = logits[:, 0] * (2 * mask - 1)  # the logit of being right
    weight = alpha * mask + (1 - alpha) * (1 - mask)
    return (weight * torch.sigmoid(-signed) ** gamma * F.softplus(-signed)).mean()
