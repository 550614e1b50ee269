// A registry in memory with the referrers API of OCI 1.1, on a port that the system gives it. The one that Debian ships
// has no such API yet.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Fprintf(os.Stderr, "listening on %s\n", listener.Addr())
		err = http.Serve(listener, ociserver.New(ocimem.New(), nil))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
