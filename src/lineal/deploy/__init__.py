"""Deploys a commit: its chart and values with the digests of its images become a release in a cluster.

`inputs` reads what the commit and the run say (`values`, `sops`), and makes a `Release`. `render` turns it into
manifests, `upgrade` installs or upgrades it under its lock (`release_lock`), `uninstall` removes it. `helm/` runs the
helm program, `watch/` observes workloads meanwhile, `diff/` shows what a deploy would change, and `bundle/` keeps a
chart with its digests in a registry.

`findings` are what people should know beforehand, of images (`image_use`) and of what the cluster has
(`cluster_objects`); `left_behind` is what an uninstall leaves, and `ending` waits for what it has not deleted yet."""
