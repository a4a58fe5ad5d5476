// Go's client and server. `serve PORT` is an instance at 127.0.1.1 that prints its own port. Its
// ReverseProxy leads to an echoing instance at PORT. `echo BASES…` and `served BASES…` send requests to an echoing instance and to
// `serve`, and print `BASE NAME: ok`, or what happened instead.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

const timeout = 20 * time.Second

var large = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
var modified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func main() {
	bases := os.Args[2:]
	switch os.Args[1] {
	case "serve":
		serve(bases[0])
	case "echo":
		for _, base := range bases {
			toEcho(base)
		}
	case "served":
		for _, base := range bases {
			toServed(base)
		}
	}
}

// The proxies differ in whether they strip the prefix, so the last segment decides.
func serve(echo string) {
	to := &url.URL{Scheme: "http", Host: "127.0.1.1:" + echo}
	proxy := httputil.NewSingleHostReverseProxy(to)
	handle := func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		switch path.Base(r.URL.Path) {
		case "file":
			// It has a length, so no trailer follows.
			header.Set("Trailer", "X-Sum")
			header.Set("Etag", `"one"`)
			http.ServeContent(w, r, "file.bin", modified, bytes.NewReader(large))
		case "trailers":
			header.Set("Trailer", "X-Sum")
			// Go's server does not read a body beyond the start of the response.
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
			header.Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(body)))
			header.Set(http.TrailerPrefix+"X-Late", fmt.Sprint(len(body)))
		case "hints":
			header.Set("Link", "</style.css>; rel=preload; as=style")
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "hello")
		case "events":
			header.Set("Content-Type", "text/event-stream")
			for event := 0; event < 3; event++ {
				fmt.Fprintf(w, "data: %d\n\n", event)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		case "unread":
			// Without reading the body: Go closes the connection behind the response.
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		case "limited":
			if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<10)); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			}
		case "aborted":
			w.Write(large)
			panic(http.ErrAbortHandler)
		case "empty":
			header.Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusNoContent)
		case "moved":
			http.Redirect(w, r, "file", http.StatusFound)
		default:
			proxy.ServeHTTP(w, r)
		}
	}
	listener, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(handle)))
}

func toEcho(base string) {
	check(base, "GET twice", func() error {
		var isReused bool
		trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { isReused = got.Reused }}
		for range [2]int{} {
			if err := echoed(base, "GET", nil, 0, func(r *http.Request) *http.Request {
				return r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
			}); err != nil {
				return err
			}
		}
		if !isReused {
			return errors.New("the connection was not reused")
		}
		return nil
	})
	check(base, "POST", func() error { return echoed(base, "POST", strings.NewReader("abc"), 3) })
	check(base, "POST in chunks", func() error {
		return echoed(base, "POST", io.MultiReader(bytes.NewReader(large)), len(large))
	})
	check(base, "PUT that expects 100-continue", func() error {
		return echoed(base, "PUT", bytes.NewReader(large), len(large), expecting)
	})
	check(base, "PUT in chunks that expects 100-continue", func() error {
		return echoed(base, "PUT", io.MultiReader(bytes.NewReader(large)), len(large), expecting)
	})
	check(base, "POST with a trailer", func() error {
		return echoed(base, "POST", io.MultiReader(bytes.NewReader(large)), len(large), func(r *http.Request) *http.Request {
			r.Trailer = http.Header{"X-Sum": {"1"}}
			return r
		})
	})
	check(base, "DELETE with a body", func() error { return echoed(base, "DELETE", strings.NewReader("abc"), 3) })
	check(base, "PROPFIND", func() error { return echoed(base, "PROPFIND", nil, 0) })
	check(base, "OPTIONS", func() error { return echoed(base, "OPTIONS", nil, 0) })
	check(base, "an h2c offer", func() error {
		return echoed(base, "POST", strings.NewReader("abc"), 3, func(r *http.Request) *http.Request {
			r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
			r.Header.Set("Upgrade", "h2c")
			r.Header.Set("HTTP2-Settings", "AAMAAABkAAQAAP__")
			return r
		})
	})
	check(base, "a header of 6 KB", func() error {
		return echoed(base, "GET", nil, 0, func(r *http.Request) *http.Request {
			r.Header.Set("X-Long", strings.Repeat("a", 6000))
			return r
		})
	})
	check(base, "absolute form", func() error {
		proxy, err := url.Parse(base)
		if err != nil {
			return err
		}
		client := &http.Client{Timeout: timeout, Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy.Host})}}
		response, err := client.Get("http://a.example" + proxy.Path + "/hi")
		return whole(response, err, 200, `"bytes":0,`)
	})
	check(base, "early 413 of a large upload", func() error {
		return whole(send(base, "POST", "/early413", bytes.NewReader(large), expecting), nil, 413, "too big")
	})
	check(base, "WebSocket", func() error { return webSocket(base + "/ws") })
}

func toServed(base string) {
	check(base, "ServeContent", func() error { return served(base, "GET", "", 200, string(large)) })
	check(base, "ServeContent of HEAD", func() error { return served(base, "HEAD", "", 200, "") })
	check(base, "a range", func() error { return served(base, "GET", "bytes=16-18", 206, "012") })
	check(base, "a range from the end", func() error { return served(base, "GET", "bytes=-3", 206, "def") })
	check(base, "two ranges", func() error { return served(base, "GET", "bytes=0-1,16-18", 206, "012\r\n--") })
	check(base, "a range of HEAD", func() error { return served(base, "HEAD", "bytes=0-9", 206, "") })
	check(base, "a range that does not exist", func() error { return served(base, "GET", "bytes=99999999-", 416, "invalid range") })
	check(base, "If-None-Match", func() error { return conditional(base, "If-None-Match", `"one"`) })
	check(base, "If-Modified-Since", func() error {
		return conditional(base, "If-Modified-Since", modified.Format(http.TimeFormat))
	})
	check(base, "204 with Trailer", func() error { return whole(send(base, "GET", "/empty", nil), nil, 204, "") })
	check(base, "trailers of the response", func() error {
		response := send(base, "POST", "/trailers", io.MultiReader(bytes.NewReader(large)))
		if err := whole(response, nil, 200, string(large)); err != nil {
			return err
		}
		wanted := fmt.Sprintf("%x", sha256.Sum256(large))
		if response.Trailer.Get("X-Sum") != wanted || response.Trailer.Get("X-Late") != fmt.Sprint(len(large)) {
			return fmt.Errorf("trailers: %v", response.Trailer)
		}
		return nil
	})
	check(base, "103 before the response", func() error {
		var hints int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			if code == 103 {
				hints++
			}
			return nil
		}}
		err := whole(send(base, "GET", "/hints", nil, func(r *http.Request) *http.Request {
			return r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
		}), nil, 200, "hello")
		if err == nil && hints != 1 {
			err = fmt.Errorf("%d early hints", hints)
		}
		return err
	})
	check(base, "events, then a cancelled request", func() error {
		scope, cancel := context.WithCancel(context.Background())
		defer cancel()
		response := send(base, "GET", "/events", nil, func(r *http.Request) *http.Request { return r.WithContext(scope) })
		scanner := bufio.NewScanner(response.Body)
		for scanner.Scan() {
			if scanner.Text() == "data: 2" {
				return nil
			}
		}
		return fmt.Errorf("%d, no third event: %v", response.StatusCode, scanner.Err())
	})
	check(base, "an upload that Go does not read", func() error {
		return whole(send(base, "POST", "/unread", bytes.NewReader(large[:200_000])), nil, 413, "too large")
	})
	check(base, "an upload that Go does not read, with Expect", func() error {
		return whole(send(base, "POST", "/unread", bytes.NewReader(large), expecting), nil, 413, "too large")
	})
	check(base, "an upload over MaxBytesReader", func() error {
		return whole(send(base, "POST", "/limited", bytes.NewReader(large), expecting), nil, 413, "too large")
	})
	check(base, "an aborted response", func() error {
		response := send(base, "GET", "/aborted", nil)
		if _, err := io.ReadAll(response.Body); err == nil {
			return errors.New("the response seems complete")
		}
		return nil
	})
	check(base, "a redirect", func() error { return whole(send(base, "GET", "/moved", nil), nil, 200, string(large)) })
	check(base, "ReverseProxy: GET", func() error { return echoed(base, "GET", nil, 0) })
	check(base, "ReverseProxy: POST in chunks", func() error {
		return echoed(base, "POST", io.MultiReader(bytes.NewReader(large)), len(large))
	})
	check(base, "ReverseProxy: Expect", func() error {
		return echoed(base, "PUT", bytes.NewReader(large), len(large), expecting)
	})
	check(base, "ReverseProxy: WebSocket", func() error { return webSocket(base + "/ws") })
}

type change = func(*http.Request) *http.Request

func expecting(r *http.Request) *http.Request {
	r.Header.Set("Expect", "100-continue")
	return r
}

// The client waits longer for 100 Continue than a proxy may take.
var client = &http.Client{Timeout: timeout, Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}

// Panics if there is no response; check reports it.
func send(base, method, at string, body io.Reader, changes ...change) *http.Response {
	request, err := http.NewRequest(method, base+at, body)
	if err != nil {
		panic(err)
	}
	for _, change := range changes {
		request = change(request)
	}
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	return response
}

func whole(response *http.Response, err error, status int, text string) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != status || !strings.Contains(string(got), text) {
		return fmt.Errorf("%s %.200q", response.Status, got)
	}
	return nil
}

func echoed(base, method string, body io.Reader, size int, changes ...change) error {
	return whole(send(base, method, "/hi", body, changes...), nil, 200, fmt.Sprintf(`"bytes":%d,`, size))
}

func served(base, method, ranges string, status int, text string) error {
	response := send(base, method, "/file", nil, func(r *http.Request) *http.Request {
		if ranges != "" {
			r.Header.Set("Range", ranges)
		}
		return r
	})
	if method == "HEAD" && response.ContentLength <= 0 {
		return fmt.Errorf("Content-Length of HEAD: %d", response.ContentLength)
	}
	return whole(response, nil, status, text)
}

func conditional(base, name, value string) error {
	response := send(base, "GET", "/file", nil, func(r *http.Request) *http.Request {
		r.Header.Set(name, value)
		return r
	})
	return whole(response, nil, 304, "")
}

// The body of a 101 response is the connection.
func webSocket(address string) error {
	request, err := http.NewRequest("GET", address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Version", "13")
	request.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	// The timeout of a client would hide the connection.
	response, err := client.Transport.RoundTrip(request)
	if err != nil {
		return err
	}
	if response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return fmt.Errorf("%s %v", response.Status, response.Header)
	}
	connection := response.Body.(io.ReadWriteCloser)
	defer connection.Close()
	// A text frame masked with zeros.
	if _, err := connection.Write([]byte("\x81\x85\x00\x00\x00\x00hello")); err != nil {
		return err
	}
	frame := make([]byte, 7)
	if _, err := io.ReadFull(connection, frame); err != nil {
		return err
	}
	if string(frame) != "\x81\x05hello" {
		return fmt.Errorf("frame %q", frame)
	}
	return nil
}

func check(base, name string, run func() error) {
	outcome := "ok"
	func() {
		defer func() {
			if thrown := recover(); thrown != nil {
				outcome = fmt.Sprint(thrown)
			}
		}()
		if err := run(); err != nil {
			outcome = err.Error()
		}
	}()
	name = strings.ReplaceAll(name, ":", ",")
	fmt.Printf("%s %s: %s\n", base, name, strings.ReplaceAll(outcome, "\n", " "))
}
