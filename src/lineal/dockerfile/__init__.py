"""Dockerfiles as graphs of stages, with every checksum, from the commit alone: no network, no engine.

Docker says "stage" for what is a *target* here, a `FROM … AS name` block. A *stage* is smaller: one instruction that
makes a layer (FROM, RUN, COPY, ADD) with the metadata written before it.

`images` reads the Dockerfiles of all images of lineal.yaml (`syntax`). `planner` makes a graph of each, target by
target (`target`); `build_args` notes arguments that no ARG takes. It reads every instruction as a value (`parser`,
`instructions`, `copy`, `run_mounts`, `onbuild`), and expands its words in the scope of its line (`scope`,
`platform`). The result is the last `stage.Stage` of an image; all others hang on it. When a stage is built,
`metadata` applies ENV, LABEL and so on to the config of its image."""
