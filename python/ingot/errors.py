"""What is raised for a file that is damaged, or that is no artifact."""


class FormatError(Exception):
    """What is wrong with a file: where, what was expected there and what was found.

    `path` names the file; `tensor` the tensor or side file, and `byte` the place in the file, where they are known.
    """

    def __init__(self, path: str, expected: object, found: object, tensor: str | None = None, byte: int | None = None) -> None:
        place = (f": tensor {tensor!r}" if tensor is not None else "") + (f": byte {byte}" if byte is not None else "")
        super().__init__(f"{path}{place}: expected {expected}, found {found}")
        self.path, self.expected, self.found, self.tensor, self.byte = path, expected, found, tensor, byte
