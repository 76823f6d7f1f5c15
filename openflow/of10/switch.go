package of10

import (
	"github.com/weirswitch/weir/openflow"
)

// capabilities that both versions have under the same bits; 1.0's ARP_MATCH_IP is always true of weir.
const (
	sameCapabilities = uint32(openflow.CapFlowStats | openflow.CapTableStats | openflow.CapPortStats | openflow.CapIPReasm | openflow.CapQueueStats)
	capARPMatchIP    = 1 << 7
)

// appendFeatures writes FEATURES_REPLY, ports included.
func appendFeatures(b []byte, m *openflow.FeaturesReply) []byte {
	b = append32(append64(b, m.DatapathID), m.NBuffers)
	b = appendZeros(append(b, m.NTables), 3)
	b = append32(append32(b, uint32(m.Capabilities)&sameCapabilities|capARPMatchIP), standardActions)
	for i := range m.Ports {
		if len(b)+portSize > openflow.MaxMessage {
			break // 1.0 cannot list more
		}
		b = appendPort(b, &m.Ports[i])
	}
	return b
}
