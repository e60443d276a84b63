package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// environment returns a getenv that knows only the variables given.
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	got, err := parseConfig(nil, environment(nil), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := config{addr: ":8080", database: "./data", timezone: time.Local, logFormat: "text", postRate: 120, loginRate: 60}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestConfigSources sets every flag once by argument, once by environment,
// and once by both, where the argument wins.
func TestConfigSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		flag, value, other string
		get                func(config) any
		want               any
	}{
		{"addr", "127.0.0.1:9000", ":1", func(c config) any { return c.addr }, "127.0.0.1:9000"},
		{"addr", "[::1]:0", ":1", func(c config) any { return c.addr }, "[::1]:0"},
		{"data", dir, "elsewhere", database, dir},
		{"database", "postgres://me:secret@db/chat?sslmode=disable", "postgres://other", database, "postgres://me:secret@db/chat?sslmode=disable"},
		{"database", "postgres://a:5432,[::1]:5433/chat?target_session_attrs=read-write", "postgres://other", database, "postgres://a:5432,[::1]:5433/chat?target_session_attrs=read-write"},
		{"base-url", "https://intranet/chat/", "http://other", baseURL, "https://intranet/chat"},
		{"base-url", "https://intranet/chat", "http://other", baseURL, "https://intranet/chat"},
		{"base-url", "HTTP://Intranet:80", "http://other", baseURL, "http://intranet"},
		{"base-url", "https://intranet:443//a/./b/../c//", "http://other", baseURL, "https://intranet/a/c"},
		{"base-url", "http://10.0.0.1:8080/", "http://other", baseURL, "http://10.0.0.1:8080"},
		{"base-url", "http://[FD00::1]:8080/", "http://other", baseURL, "http://[fd00::1]:8080"},
		{"timezone", "Asia/Shanghai", "UTC", func(c config) any { return c.timezone.String() }, "Asia/Shanghai"},
		{"log-format", "json", "text", func(c config) any { return c.logFormat }, "json"},
		{"log-file", "hubbub.log", "x", func(c config) any { return c.logFile }, "hubbub.log"},
		{"post-rate", "7", "8", func(c config) any { return c.postRate }, 7},
		{"post-rate", "0", "8", func(c config) any { return c.postRate }, 0},
		{"login-rate", "5", "6", func(c config) any { return c.loginRate }, 5},
		{"trusted-proxies", "10.0.0.1, 192.168.7.9/16,fd00::/8,::ffff:10.0.0.2", "1.1.1.1",
			func(c config) any { return c.trustedProxies },
			[]netip.Prefix{
				netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("192.168.0.0/16"),
				netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("10.0.0.2/32"),
			}},
	} {
		env := envName(tt.flag)
		for _, source := range []struct {
			name string
			args []string
			env  map[string]string
		}{
			{"flag", []string{"--" + tt.flag + "=" + tt.value}, nil},
			{"environment", nil, map[string]string{env: tt.value}},
			{"both", []string{"--" + tt.flag, tt.value}, map[string]string{env: tt.other}},
		} {
			t.Run(tt.flag+"="+tt.value+" by "+source.name, func(t *testing.T) {
				t.Parallel()
				c, err := parseConfig(source.args, environment(source.env), io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				if got := tt.get(c); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		}
	}
}

func baseURL(c config) any { return c.baseURL.String() }

func database(c config) any { return c.database }

// TestConfigNATS reads lists of servers. NATS is for several nodes, which need
// PostgreSQL.
func TestConfigNATS(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"nats://a":                "nats://a",
		"a":                       "nats://a",
		"nats://a,b:4223, c":      "nats://a,nats://b:4223,nats://c",
		"tls://me:secret@a,b":     "tls://me:secret@a,tls://me:secret@b",
		"nats://a,tls://you@b:99": "nats://a,tls://you@b:99",
	} {
		c, err := parseConfig([]string{"--database=postgres://db/chat", "--nats=" + given}, environment(nil), io.Discard)
		if err != nil || c.nats != want {
			t.Errorf("%s: got %q, %v, want %q", given, c.nats, err, want)
		}
	}
}

func TestConfigTLS(t *testing.T) {
	t.Parallel()
	cert, key := writeCertificate(t)
	for name, load := range map[string]func() (config, error){
		"flags": func() (config, error) {
			return parseConfig([]string{"--tls-cert", cert, "--tls-key", key}, environment(nil), io.Discard)
		},
		"environment": func() (config, error) {
			return parseConfig(nil, environment(map[string]string{"HUBBUB_TLS_CERT": cert, "HUBBUB_TLS_KEY": key}), io.Discard)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := load()
			if err != nil {
				t.Fatal(err)
			}
			if c.certificate == nil || c.certificate.PrivateKey == nil {
				t.Errorf("no certificate was loaded: %v", c.certificate)
			}
		})
	}
}

// writeCertificate writes a certificate and its key and returns their paths.
func writeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", certDER), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, _ := writeCertificate(t)
	_, otherKey := writeCertificate(t)
	for _, tt := range []struct{ flag, value, want string }{
		{"addr", "8080", `--addr: "8080" is not HOST:PORT, such as :8080 or 127.0.0.1:8080`},
		{"addr", ":http", `--addr: ":http" has no port from 0 to 65535`},
		{"addr", ":65536", `--addr: ":65536" has no port from 0 to 65535`},
		{"data", file, `--data: "` + file + `" is not a directory`},
		{"database", "mysql://me:secret@db/", `--database: it is no URL such as postgres://user@host/database`},
		{"database", "postgres:db", `--database: it is no URL such as postgres://user@host/database`},
		{"database", "./data", `--database: it is no URL such as postgres://user@host/database`},
		{"nats", "nats://a", `--nats: several nodes need a --database`},
		{"base-url", "intranet/chat", `--base-url: "intranet/chat" does not start with http:// or https://`},
		{"base-url", "ftp://intranet/", `--base-url: "ftp://intranet/" does not start with http:// or https://`},
		{"base-url", "http://a b/", `--base-url: "http://a b/" is not a URL`},
		{"base-url", "https:///chat", `--base-url: "https:///chat" has no host`},
		{"base-url", "https://:8080/", `--base-url: "https://:8080/" has no host`},
		{"base-url", "https://a;b/", `--base-url: "https://a;b/" has a host with more than letters, digits and - . _`},
		{"base-url", "https://a:70000/", `--base-url: "https://a:70000/" has no port from 1 to 65535`},
		{"base-url", "https://me@a/", `--base-url: "https://me@a/" has a user, a query or a fragment; a base URL has none`},
		{"base-url", "https://a/?", `--base-url: "https://a/?" has a user, a query or a fragment; a base URL has none`},
		{"base-url", "https://a/#", `--base-url: "https://a/#" has a user, a query or a fragment; a base URL has none`},
		{"base-url", "https://a/b;c", `--base-url: "https://a/b;c" has a path with more than letters, digits and - . _ ~ /`},
		{"base-url", "https://a/%0a", `--base-url: "https://a/%0a" has a path with more than letters, digits and - . _ ~ /`},
		{"timezone", "Mars/Base", `--timezone: unknown time zone "Mars/Base"`},
		{"timezone", "../../etc/passwd", `--timezone: unknown time zone "../../etc/passwd"`},
		{"log-format", "xml", `--log-format: "xml" is neither text nor json`},
		{"post-rate", "many", `--post-rate: "many" is not a whole number from 0 up`},
		{"post-rate", "-1", `--post-rate: "-1" is not a whole number from 0 up`},
		{"post-rate", "99999999999", `--post-rate: "99999999999" is not a whole number from 0 up`},
		{"login-rate", "1.5", `--login-rate: "1.5" is not a whole number from 0 up`},
		{"trusted-proxies", "10.0.0.0/33", `--trusted-proxies: "10.0.0.0/33" is neither an IP address nor a CIDR range`},
		{"trusted-proxies", "10.0.0.1,", `--trusted-proxies: "" is neither an IP address nor a CIDR range`},
		{"trusted-proxies", "fe80::1%eth0", `--trusted-proxies: "fe80::1%eth0" is neither an IP address nor a CIDR range`},
		{"tls-cert", cert, `--tls-cert: "` + cert + `" needs its --tls-key as well`},
		{"tls-key", otherKey, `--tls-key: "` + otherKey + `" needs its --tls-cert as well`},
	} {
		for source, parse := range map[string]func() (config, error){
			"flag": func() (config, error) {
				return parseConfig([]string{"--" + tt.flag + "=" + tt.value}, environment(nil), io.Discard)
			},
			"environment": func() (config, error) {
				return parseConfig(nil, environment(map[string]string{envName(tt.flag): tt.value}), io.Discard)
			},
		} {
			t.Run(tt.flag+"="+tt.value+" by "+source, func(t *testing.T) {
				t.Parallel()
				if c, err := parse(); err == nil || err.Error() != tt.want {
					t.Errorf("got %+v, error %v, want %s", c, err, tt.want)
				}
			})
		}
	}
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"an empty directory", []string{"--data="}, []string{`--data: "" names no directory`}},
		{"no such certificate", []string{"--tls-cert=no.pem", "--tls-key=no.key"}, []string{`--tls-cert: "no.pem" with --tls-key "no.key": open no.pem: `}},
		{"a key of another certificate", []string{"--tls-cert", cert, "--tls-key", otherKey}, []string{`--tls-cert: "` + cert, "does not match"}},
		{"an unknown flag", []string{"--colour=red"}, []string{"unknown flag --colour", "--help"}},
		{"an argument", []string{"serve"}, []string{"unexpected argument serve", "--help"}},
		{"no NATS", []string{"--database=postgres://db/", "--nats=http://me:secret@a"}, []string{"--nats: it is no list"}},
		{"no host", []string{"--database=postgres://db/", "--nats=nats://a,,b"}, []string{"--nats: it is no list"}},
		{"two bad values", []string{"--addr=x", "--post-rate=x"}, []string{"--addr: ", "\n--post-rate: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseConfig(tt.args, environment(nil), io.Discard)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestConfigHelp(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"--help", "-h"} {
		var out bytes.Buffer
		if _, err := parseConfig([]string{arg, "--timezone=Mars/Base"}, environment(nil), &out); !errors.Is(err, errDone) {
			t.Errorf("%s: got error %v, want errDone", arg, err)
		}
		t.Logf("%s", out.String())
		help := strings.Join(strings.Fields(out.String()), " ") // as if it were not wrapped
		want := []string{"Hubbub is team chat", "--help", "--version", "default: :8080", "default: ./data", "default: text", "default: 120", "default: 60"}
		for _, flag := range []string{
			"addr", "data", "database", "nats", "base-url", "timezone", "log-format", "log-file",
			"tls-cert", "tls-key", "post-rate", "login-rate", "trusted-proxies",
		} {
			want = append(want, "--"+flag+"=", "["+envName(flag)+"]")
		}
		for _, s := range want {
			if !strings.Contains(help, s) {
				t.Errorf("%s: no %q in the help", arg, s)
			}
		}
	}
}

func TestConfigVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if _, err := parseConfig([]string{"--version"}, environment(map[string]string{"HUBBUB_VERSION": "no"}), &out); !errors.Is(err, errDone) {
		t.Errorf("got error %v, want errDone", err)
	}
	if got := out.String(); !strings.HasPrefix(got, "hubbub ") || !strings.Contains(got, runtime.Version()) {
		t.Errorf("got %q", got)
	}
}
