"""Dockerfiles as graphs of stages, with every checksum, from the commit alone: no network, no engine.

Docker says "stage" for what is a *target* here, a `FROM … AS name` block. A *stage* is smaller: one instruction that
makes a layer (FROM, RUN, COPY, ADD) with the metadata written before it.

`images` reads the Dockerfiles of all images of lineal.yaml (`syntax`), and asks for a plan of each
(`plan_request`). `planner` makes it, target by target: `build_args` are what its ARGs get, `target` finds targets
by their names, `base` is what a target begins on (an image, a `named_context`), and `target_builder` turns the
instructions of one into stages. It reads every instruction as a value (`parser`, `instructions`, `copy`,
`run_mounts`, `onbuild`), and expands its words in the scope of its line (`scope`, `platform`; `lost_variables` are
those of a wrong line). What an instruction takes is an input of its checksum (`checksum`): files of the context
(`source_files`), what `--from=` names (`sources`), remote files as far as the project lets them in
(`remote_policy`). The result is the last `stage.Stage` of an image; all others hang on it. When a stage is built,
`metadata` applies ENV, LABEL and so on to the config of its image."""
