"""Shapes of published models, for scripts/tools make-checkpoint and scripts/tools family-figures."""

from . import deepseek, glm, gpt_oss, minimax, qwen

# Name to a function that gives what is known of the model.
MODELS = {
    name: make
    for module in (qwen, deepseek, glm, gpt_oss, minimax)
    for name, make in module.MODELS.items()
}
