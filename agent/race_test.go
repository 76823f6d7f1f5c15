//go:build race

package agent

// raceEnabled makes tests smaller that the race detector would make very long.
const raceEnabled = true
