// Slow path: the nearest right word for a misspelled one.

package agent

import "github.com/weirswitch/weir/openflow/ofctl"

// Nearest returns the word closest to s, or "" when none is close enough to be meant.
func Nearest(s string, words []string) string { return ofctl.Nearest(s, words) }
