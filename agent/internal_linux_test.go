package agent

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/ports"
)

// TestInternalPortTakenOutByHand: the configuration no longer tells of the device, so that the next
// reload makes it again.
func TestInternalPortTakenOutByHand(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a network namespace of its own: %v", err)
		}
		t.Skipf("a network namespace of its own: %v", err)
	}
	links, err := ports.NewLinks()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { links.Close() })
	b := newBench(t, 0, func(c *BridgeConfig, e *Env) { c.Internal, e.Links = &InternalConfig{}, links })
	cfg := b.sw.Config()
	if err := b.sw.RemovePort("br0"); err != nil {
		t.Fatal(err)
	}
	if now := b.sw.Config(); now.Internal != nil {
		t.Error("the configuration tells of a device that is gone")
	}
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if got := b.portList(); got != "LOCALbr0" {
		t.Errorf("ports %s", got)
	}
}
