"""A build as BuildKit's graph of operations (LLB): written here, not by a frontend of the daemon."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from google.protobuf.message import Message

from lineal.engine.buildkit.protocol import ops_pb2

NOTHING = -1
"""The input of a mount without one, and the output of a mount whose changes are thrown away."""


@dataclass(frozen=True, slots=True)
class Output:
    """What an operation makes: its digest and the number of its output."""

    digest: str
    index: int = 0


class Graph:
    """Operations, each after those that it needs."""

    def __init__(self, platform: ops_pb2.Platform) -> None:
        self._platform = platform
        self._operations: dict[str, bytes] = {}
        self._metadata: dict[str, ops_pb2.OpMetadata] = {}

    def image(self, reference: str, attributes: dict[str, str]) -> Output:
        """An image of a registry (`docker-image://…`) or of a session (`oci-layout://…`)."""
        return self._add("source", ops_pb2.SourceOp(identifier=reference, attrs=attributes), ())

    def file(self, below: Output | None, actions: list[ops_pb2.FileAction]) -> Output:
        """Changes of files, one after the other, on something or on nothing."""
        for number, action in enumerate(actions):
            first = 0 if below is not None else NOTHING
            # The numbers of earlier actions come after those of the inputs.
            action.input = first if number == 0 else number - 1 + (below is not None)
            action.secondaryInput = NOTHING
            action.output = 0 if number == len(actions) - 1 else NOTHING
        return self._add("file", ops_pb2.FileOp(actions=actions), () if below is None else (below,))

    def execute(self, operation: ops_pb2.ExecOp, inputs: tuple[Output, ...], name: str) -> Output:
        made = self._add("exec", operation, inputs)
        self._metadata[made.digest] = ops_pb2.OpMetadata(description={"llb.customname": name})
        return made

    def difference(self, lower: Output, upper: Output) -> Output:
        """What `upper` adds to `lower`, as one layer."""
        operation = ops_pb2.DiffOp(lower=ops_pb2.LowerDiffInput(input=0), upper=ops_pb2.UpperDiffInput(input=1))
        return self._add("diff", operation, (lower, upper))

    def definition(self, result: Output) -> ops_pb2.Definition:
        last = ops_pb2.Op(inputs=[ops_pb2.Input(digest=result.digest, index=result.index)])
        return ops_pb2.Definition(
            **{"def": [*self._operations.values(), last.SerializeToString(deterministic=True)]},
            metadata=self._metadata,
        )

    def _add(self, kind: str, operation: Message, inputs: tuple[Output, ...]) -> Output:
        op = ops_pb2.Op(
            inputs=[ops_pb2.Input(digest=one.digest, index=one.index) for one in inputs], platform=self._platform
        )
        getattr(op, kind).CopyFrom(operation)
        data = op.SerializeToString(deterministic=True)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._operations[digest] = data
        self._metadata[digest] = ops_pb2.OpMetadata()
        return Output(digest)
