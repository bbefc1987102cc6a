package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// tlsConfig reads the files of a TLS client; prefix names their settings.
func tlsConfig(prefix, caFile, certFile, keyFile, serverName string, insecure bool) (*tls.Config, error) {
	c := &tls.Config{ServerName: serverName, InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("%sCA_FILE: %w", prefix, err)
		}
		if c.RootCAs, err = x509.SystemCertPool(); err != nil {
			c.RootCAs = x509.NewCertPool()
		}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%sCA_FILE=%s: no certificate in it; want a PEM file", prefix, caFile)
		}
	}
	if certFile != "" {
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("%sCERT_FILE, %sKEY_FILE: %w", prefix, prefix, err)
		}
		// Read at each connection, so that a renewed certificate takes effect.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		}
	}
	return c, nil
}

// saslMechanism returns how to log in to the brokers, nil if not at all. Each
// mechanism asks for its secret at each login.
func saslMechanism(cfg *config.Config) (sasl.Mechanism, error) {
	s := cfg.Kafka.SASL
	user := func() (scram.Auth, error) {
		pass, err := s.Password.Value()
		return scram.Auth{User: s.Username, Pass: pass}, err
	}
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			a, err := user()
			return plain.Auth{User: a.User, Pass: a.Pass}, err
		}), nil
	case "SCRAM-SHA-256":
		return scram.Sha256(func(context.Context) (scram.Auth, error) { return user() }), nil
	case "SCRAM-SHA-512":
		return scram.Sha512(func(context.Context) (scram.Auth, error) { return user() }), nil
	case "OAUTHBEARER":
		// The secret is read anew with each token, the token kept until it is old.
		source := oauth2.ReuseTokenSourceWithExpiry(nil, tokenFunc(func() (*oauth2.Token, error) {
			secret, err := s.ClientSecret.Value()
			if err != nil {
				return nil, err
			}
			cc := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: secret, TokenURL: s.TokenURL, Scopes: strings.Fields(s.Scope)}
			client := &http.Client{Timeout: 30 * time.Second}
			return cc.Token(context.WithValue(context.Background(), oauth2.HTTPClient, client))
		}), time.Minute)
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			t, err := source.Token()
			if err != nil {
				return oauth.Auth{}, &kafka.CredentialsError{Err: fmt.Errorf("SLUICE_KAFKA_SASL_TOKEN_URL: %w", err)}
			}
			return oauth.Auth{Token: t.AccessToken}, nil
		}), nil
	case "AWS_MSK_IAM":
		return aws.ManagedStreamingIAM(func(ctx context.Context) (aws.Auth, error) {
			c, err := awsconfig.LoadDefaultConfig(ctx)
			if err != nil {
				return aws.Auth{}, err
			}
			creds, err := c.Credentials.Retrieve(ctx)
			if err != nil {
				return aws.Auth{}, &kafka.CredentialsError{Err: fmt.Errorf("SLUICE_KAFKA_SASL_MECHANISM=AWS_MSK_IAM: no AWS credentials: %w", err)}
			}
			return aws.Auth{AccessKey: creds.AccessKeyID, SecretKey: creds.SecretAccessKey, SessionToken: creds.SessionToken, UserAgent: "sluice"}, nil
		}), nil
	}
	return nil, errors.New("SLUICE_KAFKA_SASL_MECHANISM: unknown mechanism " + s.Mechanism)
}

type tokenFunc func() (*oauth2.Token, error)

func (f tokenFunc) Token() (*oauth2.Token, error) { return f() }
