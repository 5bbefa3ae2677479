// A registry in memory: ociregistry ADDRESS [immutable]. With `immutable`, a tag that exists is not written again.
package main

import (
	"log"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	config := ocimem.Config{ImmutableTags: len(os.Args) > 2}
	options := ociserver.Options{MaxListPageSize: 100}
	log.Fatal(http.ListenAndServe(os.Args[1], ociserver.New(ocimem.NewWithConfig(&config), &options)))
}
