"""Making missing stages: a plan goes in, a `BuildResult` comes out.

The `Scheduler` makes several stages at once, a `StageBuilder` makes one: from an external base, with the assembler or
on an engine. The resolvers find the files that a stage copies or mounts, in the commit and in other stages."""
