"""Shapes of published models, for scripts/make-checkpoint and scripts/family-figures."""

from . import deepseek, glm, gpt_oss, minimax, qwen

# Name to a function that gives what is known of the model.
MODELS = {
    name: make
    for module in (qwen, deepseek, glm, gpt_oss, minimax)
    for name, make in module.MODELS.items()
}
