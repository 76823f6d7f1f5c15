// Slow path: encrypted connections to and from controllers.

package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// tlsConfig reads the files anew each time, so that renewed certificates need no restart. Both sides
// show a certificate that the CA has signed.
func (s *Switch) tlsConfig() (*tls.Config, error) {
	return s.tlsFiles().load()
}

func (s *Switch) tlsFiles() TLSConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.TLS
}

func (files TLSConfig) load() (*tls.Config, error) {
	if files.PrivateKey == "" || files.Certificate == "" || files.CACert == "" {
		return nil, errors.New("ssl: and pssl: need the files of tls: private-key, certificate and ca-cert")
	}
	cert, err := tls.LoadX509KeyPair(files.Certificate, files.PrivateKey)
	var missing *fs.PathError // which names its file
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("tls: %w", err)
	case err != nil:
		return nil, fmt.Errorf("tls: certificate %s with private-key %s: %w", files.Certificate, files.PrivateKey, err)
	}
	pem, err := os.ReadFile(files.CACert)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: %s holds no certificate in PEM form", files.CACert)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ClientCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// clientTLS checks the controller's certificate by the CA alone, not by the name in it: those that
// switches meet rarely carry the address that they are reached at. Whoever can get a certificate from
// the CA can therefore be the controller: a CA for this purpose should sign for nothing else.
func (files TLSConfig) client(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
	cfg, err := files.load()
	if err != nil {
		nc.Close()
		return nil, err
	}
	cfg.ServerName = host
	cfg.InsecureSkipVerify = true // the name only: VerifyConnection checks the chain
	roots := cfg.RootCAs
	cfg.VerifyConnection = func(st tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		for _, c := range st.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		_, err := st.PeerCertificates[0].Verify(opts)
		return err
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return tc, nil
}

// DialTarget connects to a target that does not listen, as a tool does; the files count for ssl:.
func DialTarget(ctx context.Context, t Target, files TLSConfig) (net.Conn, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, t.Network(), t.Address())
	if err != nil || !t.TLS() {
		return nc, err
	}
	return files.client(ctx, nc, t.Host)
}

func (s *Switch) serverTLS(nc net.Conn) (net.Conn, error) {
	cfg, err := s.tlsConfig()
	if err != nil {
		nc.Close()
		return nil, err
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	ctx, cancel := context.WithTimeout(s.running, dialTime)
	defer cancel()
	tc := tls.Server(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return tc, nil
}
