package agent

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestTwoAddsOfOneDevice: of two bridges that are given one device at the same time, one gets it.
func TestTwoAddsOfOneDevice(t *testing.T) {
	r := startAgent(t, "bridges:\n- name: br0\n- name: br1\n")
	for i := range 20 {
		var errs [2]error
		var both sync.WaitGroup
		for n, bridge := range []string{"br0", "br1"} {
			c, err := Dial(r.dir, bridge)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Status(); err != nil { // connected: what follows takes equally long
				t.Fatal(err)
			}
			both.Go(func() { _, errs[n] = c.AddPort(fmt.Sprintf("weirnone%d", i)) })
		}
		both.Wait()
		if errs[0] != nil && !strings.Contains(errs[0].Error(), "in one place only") {
			if os.Getenv("CI") == "true" {
				t.Fatalf("a port on a device: %v", errs[0])
			}
			t.Skip(errs[0])
		}
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v, where one of them is to be refused", i, errs[0], errs[1])
		}
	}
}
