// The registry of the distribution project with one storage driver: those of clouds would be most of the build.
package main

import (
	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		panic("the registry has said why")
	}
}
