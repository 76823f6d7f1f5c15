// Slow path: what "weir ofctl" says when an encrypted connection does not come about.

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/weirswitch/weir/agent"
)

// needFiles names the options that an ssl: target lacks.
func needFiles(t agent.Target, files agent.TLSConfig) error {
	var lack []string
	for _, f := range []struct{ name, option string }{{files.PrivateKey, "-p FILE (the private key)"}, {files.Certificate, "-c FILE (its certificate)"},
		{files.CACert, "-C FILE (who has signed the switch's certificate)"}} {
		if f.name == "" {
			lack = append(lack, f.option)
		}
	}
	if !t.TLS() || lack == nil {
		return nil
	}
	return fmt.Errorf("%s: an encrypted connection needs %s; \"weir tls init\" makes such files for a lab", t, strings.Join(lack, ", "))
}

// explainTLS says which of the two sides does not trust the other.
func explainTLS(err error, files agent.TLSConfig) error {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var remote *net.OpError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("%w: %s has not signed the switch's certificate; name the file of who has with -C", err, files.CACert)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: the switch's certificate is not valid (now)", err)
	case errors.As(err, &record):
		return fmt.Errorf("%w: it answers without encryption; is it a tcp: target?", err)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fmt.Errorf("%w: the switch does not take the certificate %s; it has to be signed by an authority that the switch trusts", err, files.Certificate)
	}
	return err
}
