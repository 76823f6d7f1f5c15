package openflow

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOSKenParses: the controller framework most used with this kind of switch reads every message
// that weir sends, with as many records as it holds.
func TestOSKenParses(t *testing.T) {
	if err := exec.Command("/usr/bin/python3", "-c", "import os_ken").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("os-ken: %v; install python3-os-ken", err)
		}
		t.Skipf("os-ken is not here (%v): apt-get install python3-os-ken", err)
	}
	var in bytes.Buffer
	want := map[string]string{}
	for _, c := range switchCases {
		fmt.Fprintf(&in, "%s %s\n", c.name, hex.EncodeToString(Append(nil, 1, c.value)))
		want[c.name] = "-"
		if r, ok := c.value.(*MultipartReply); ok && listBody(r.Type) {
			want[c.name] = fmt.Sprint(len(r.Records))
		}
	}
	cmd := exec.Command("/usr/bin/python3", "testdata/parse.py")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.Fields(line)
		if f[1] == "failed" {
			t.Errorf("%s: %s", f[0], f[2])
		} else if w := want[f[0]]; w != "-" && f[2] != w {
			t.Errorf("%s: %s of %s records, want %s", f[0], f[1], f[2], w)
		}
		delete(want, f[0])
	}
	if len(want) != 0 {
		t.Errorf("not answered: %v", want)
	}
}

// listBody reports the types whose body os-ken gives as a list of records.
func listBody(mt MultipartType) bool {
	f, ok := replyFormat(mt)
	return ok && f.shape == list
}
