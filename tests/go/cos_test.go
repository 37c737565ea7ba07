// Package tests drives cos-go-sdk-v5 against the server that tests/harness.py
// has started. The SDK compares CRC64 values on its own: an upload, part,
// completion or append whose answer lacks the right one fails.
package tests

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tencentyun/cos-go-sdk-v5"
)

const mib = 1 << 20

var (
	port      = os.Getenv("COSTREL_TEST_PORT")
	appid     = os.Getenv("COSTREL_TEST_APPID")
	region    = os.Getenv("COSTREL_TEST_REGION")
	secretID  = os.Getenv("COSTREL_TEST_SECRET_ID")
	secretKey = os.Getenv("COSTREL_TEST_SECRET_KEY")
	ctx       = context.Background()
	buckets   = 0
)

// here leads every connection to the server, whatever host it is for.
func here() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
}

func signed(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: &cos.AuthorizationTransport{
		SecretID: secretID, SecretKey: secretKey, Transport: transport,
	}}
}

func host(bucket string) string {
	return fmt.Sprintf("%s.cos.%s.myqcloud.com", bucket, region)
}

func clientOf(bucket string, httpClient *http.Client) *cos.Client {
	bucketURL, _ := url.Parse("http://" + host(bucket))
	serviceURL, _ := url.Parse(fmt.Sprintf("http://cos.%s.myqcloud.com", region))
	client := cos.NewClient(&cos.BaseURL{BucketURL: bucketURL, ServiceURL: serviceURL}, httpClient)
	client.Conf.RetryOpt.Count = 1
	return client
}

// fresh makes a bucket and a client for it.
func fresh(t *testing.T) (*cos.Client, string) {
	t.Helper()
	buckets++
	name := fmt.Sprintf("g%dx%d-%s", time.Now().UnixNano()%1e9, buckets, appid)
	client := clientOf(name, signed(here()))
	_, err := client.Bucket.Put(ctx, nil)
	must(t, err)
	return client, name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want %d %s", status, code)
	}
	answer, ok := err.(*cos.ErrorResponse)
	if !ok {
		t.Fatalf("%T %v", err, err)
	}
	if answer.Response.StatusCode != status || (code != "" && answer.Code != code) {
		t.Fatalf("got %d %s, want %d %s", answer.Response.StatusCode, answer.Code, status, code)
	}
}

func body(size int) []byte {
	data := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(data)
	return data
}

func md5Hex(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

func get(t *testing.T, client *cos.Client, key string, opt *cos.ObjectGetOptions) []byte {
	t.Helper()
	answer, err := client.Object.Get(ctx, key, opt)
	must(t, err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	must(t, err)
	return data
}

func TestBuckets(t *testing.T) {
	client, name := fresh(t)
	listed, _, err := client.Service.Get(ctx)
	must(t, err)
	found := false
	for _, bucket := range listed.Buckets {
		found = found || bucket.Name == name && bucket.Region == region
	}
	equal(t, "listed", found, true)
	head, err := client.Bucket.Head(ctx)
	must(t, err)
	equal(t, "region", head.Header.Get("x-cos-bucket-region"), region)
	location, _, err := client.Bucket.GetLocation(ctx)
	must(t, err)
	equal(t, "location", location.Location, region)
	_, err = client.Bucket.Put(ctx, nil)
	refused(t, err, 409, "BucketAlreadyOwnedByYou")
	_, err = client.Bucket.Delete(ctx)
	must(t, err)
	exists, err := client.Bucket.IsExist(ctx)
	must(t, err)
	equal(t, "exists", exists, false)
}

func TestPutGetHead(t *testing.T) {
	client, _ := fresh(t)
	for _, size := range []int{0, 1, 65537, 3 * mib} {
		key := fmt.Sprintf("目录/k + %d", size)
		data := body(size)
		put, err := client.Object.Put(ctx, key, bytes.NewReader(data), &cos.ObjectPutOptions{
			ObjectPutHeaderOptions: &cos.ObjectPutHeaderOptions{
				ContentType:      "text/x",
				XCosStorageClass: "STANDARD_IA",
				XCosMetaXXX:      &http.Header{"x-cos-meta-a": []string{"1"}},
			},
		})
		must(t, err)
		equal(t, "ETag", put.Header.Get("ETag"), `"`+md5Hex(data)+`"`)
		if !bytes.Equal(get(t, client, key, nil), data) {
			t.Fatal("other bytes came back")
		}
		head, err := client.Object.Head(ctx, key, nil)
		must(t, err)
		equal(t, "length", head.ContentLength, int64(size))
		equal(t, "type", head.Header.Get("Content-Type"), "text/x")
		equal(t, "meta", head.Header.Get("x-cos-meta-a"), "1")
		equal(t, "class", head.Header.Get("x-cos-storage-class"), "STANDARD_IA")
	}
	_, err := client.Object.Get(ctx, "missing", nil)
	refused(t, err, 404, "NoSuchKey")
	exists, err := client.Object.IsExist(ctx, "missing")
	must(t, err)
	equal(t, "exists", exists, false)
}

func TestRangesAndOverrides(t *testing.T) {
	client, _ := fresh(t)
	data := body(100000)
	_, err := client.Object.Put(ctx, "k", bytes.NewReader(data), nil)
	must(t, err)
	piece := get(t, client, "k", &cos.ObjectGetOptions{Range: "bytes=5-70000"})
	equal(t, "range", bytes.Equal(piece, data[5:70001]), true)
	answer, err := client.Object.Get(ctx, "k", &cos.ObjectGetOptions{ResponseContentType: "image/png"})
	must(t, err)
	answer.Body.Close()
	equal(t, "override", answer.Header.Get("Content-Type"), "image/png")
	_, err = client.Object.Get(ctx, "k", &cos.ObjectGetOptions{Range: "bytes=100000-"})
	refused(t, err, 416, "InvalidRange")
}

func TestOddKeys(t *testing.T) {
	client, _ := fresh(t)
	// This SDK can name keys that begin with a slash.
	keys := []string{
		"a b", "a//b", "/lead", "//two", "plus+%25?#&=;,:@!$'()*[]\"<>\\|^`{}~", "😀",
		"./a/../b", "trailing/", strings.Repeat("é", 425),
	}
	for _, key := range keys {
		_, err := client.Object.Put(ctx, key, strings.NewReader(key), nil)
		must(t, err)
		equal(t, key, string(get(t, client, key, nil)), key)
	}
	listed, _, err := client.Bucket.Get(ctx, nil)
	must(t, err)
	equal(t, "keys", len(listed.Contents), len(keys))
	seen := map[string]bool{}
	for _, entry := range listed.Contents {
		seen[entry.Key] = true
	}
	for _, key := range keys {
		equal(t, "listed "+key, seen[key], true)
		_, err := client.Object.Delete(ctx, key)
		must(t, err)
	}
	_, err = client.Bucket.Delete(ctx)
	must(t, err)
}

func TestListing(t *testing.T) {
	client, _ := fresh(t)
	keys := []string{"a", "a/b", "a/c/d", "b+c d", "中/文"}
	for _, key := range keys {
		_, err := client.Object.Put(ctx, key, strings.NewReader(key), nil)
		must(t, err)
	}
	var seen []string
	opt := &cos.BucketGetOptions{MaxKeys: 2, EncodingType: "url"}
	for {
		page, _, err := client.Bucket.Get(ctx, opt)
		must(t, err)
		for _, entry := range page.Contents {
			key, err := cos.DecodeURIComponent(entry.Key)
			must(t, err)
			seen = append(seen, key)
		}
		if !page.IsTruncated {
			break
		}
		opt.Marker, err = cos.DecodeURIComponent(page.NextMarker)
		must(t, err)
	}
	equal(t, "keys", strings.Join(seen, "|"), strings.Join(keys, "|"))
	page, _, err := client.Bucket.Get(ctx, &cos.BucketGetOptions{Delimiter: "/"})
	must(t, err)
	equal(t, "prefixes", strings.Join(page.CommonPrefixes, "|"), "a/|中/")
	var objects []cos.Object
	for _, key := range append(keys, "/a") {
		objects = append(objects, cos.Object{Key: key})
	}
	deleted, _, err := client.Object.DeleteMulti(ctx, &cos.ObjectDeleteMultiOptions{Objects: objects})
	must(t, err)
	equal(t, "deleted", len(deleted.DeletedObjects), len(objects))
	equal(t, "errors", len(deleted.Errors), 0)
}

func TestCopy(t *testing.T) {
	client, name := fresh(t)
	data := body(200000)
	_, err := client.Object.Put(ctx, "src 源", bytes.NewReader(data), nil)
	must(t, err)
	done, _, err := client.Object.Copy(ctx, "dst", host(name)+"/src 源", nil)
	must(t, err)
	equal(t, "ETag", strings.Trim(done.ETag, `"`), md5Hex(data))
	equal(t, "bytes", bytes.Equal(get(t, client, "dst", nil), data), true)
	_, _, err = client.Object.Copy(ctx, "dst", host(name)+"/missing", nil)
	refused(t, err, 404, "")
}

func TestAppend(t *testing.T) {
	client, _ := fresh(t)
	position := 0
	var whole []byte
	for _, size := range []int{10, 70000, 1} {
		next, _, err := client.Object.Append(ctx, "log", position, bytes.NewReader(body(size)), nil)
		must(t, err)
		position += size
		equal(t, "position", next, position)
		whole = append(whole, body(size)...)
	}
	equal(t, "bytes", bytes.Equal(get(t, client, "log", nil), whole), true)
	_, _, err := client.Object.Append(ctx, "log", 3, strings.NewReader("x"), nil)
	refused(t, err, 409, "AppendPositionErr")
}

func TestMultipart(t *testing.T) {
	client, name := fresh(t)
	started, _, err := client.Object.InitiateMultipartUpload(ctx, "m", nil)
	must(t, err)
	id := started.UploadID
	complete := &cos.CompleteMultipartUploadOptions{}
	var whole []byte
	for number, size := range []int{mib, mib + 5, 9} {
		answer, err := client.Object.UploadPart(ctx, "m", id, number+1, bytes.NewReader(body(size)), nil)
		must(t, err)
		complete.Parts = append(complete.Parts, cos.Object{PartNumber: number + 1, ETag: answer.Header.Get("ETag")})
		whole = append(whole, body(size)...)
	}
	parts, _, err := client.Object.ListParts(ctx, "m", id, nil)
	must(t, err)
	equal(t, "parts", len(parts.Parts), 3)
	uploads, _, err := client.Bucket.ListMultipartUploads(ctx, nil)
	must(t, err)
	equal(t, "uploads", len(uploads.Uploads), 1)
	done, _, err := client.Object.CompleteMultipartUpload(ctx, "m", id, complete)
	must(t, err)
	equal(t, "ETag", strings.HasSuffix(done.ETag, `-3"`), true)
	equal(t, "bytes", bytes.Equal(get(t, client, "m", nil), whole), true)
	_, err = client.Object.AbortMultipartUpload(ctx, "m", id)
	refused(t, err, 404, "NoSuchUpload")

	started, _, err = client.Object.InitiateMultipartUpload(ctx, "c", nil)
	must(t, err)
	part, _, err := client.Object.CopyPart(ctx, "c", started.UploadID, 1, host(name)+"/m", &cos.ObjectCopyPartOptions{
		XCosCopySourceRange: fmt.Sprintf("bytes=0-%d", mib-1),
	})
	must(t, err)
	_, _, err = client.Object.CompleteMultipartUpload(ctx, "c", started.UploadID, &cos.CompleteMultipartUploadOptions{
		Parts: []cos.Object{{PartNumber: 1, ETag: part.ETag}},
	})
	must(t, err)
	equal(t, "copied", bytes.Equal(get(t, client, "c", nil), whole[:mib]), true)
}

func TestTags(t *testing.T) {
	client, _ := fresh(t)
	_, err := client.Object.Put(ctx, "k", strings.NewReader("data"), nil)
	must(t, err)
	tags := []cos.ObjectTaggingTag{{Key: "colour", Value: "blue"}, {Key: "页", Value: "a/b"}}
	_, err = client.Object.PutTagging(ctx, "k", &cos.ObjectPutTaggingOptions{TagSet: tags})
	must(t, err)
	found, _, err := client.Object.GetTagging(ctx, "k")
	must(t, err)
	equal(t, "tags", fmt.Sprint(found.TagSet), fmt.Sprint(tags))
	_, err = client.Object.DeleteTagging(ctx, "k")
	must(t, err)
	found, _, err = client.Object.GetTagging(ctx, "k")
	must(t, err)
	equal(t, "tags", len(found.TagSet), 0)
	_, err = client.Bucket.PutTagging(ctx, &cos.BucketPutTaggingOptions{
		TagSet: []cos.BucketTaggingTag{{Key: "a", Value: "1"}},
	})
	must(t, err)
	of, _, err := client.Bucket.GetTagging(ctx)
	must(t, err)
	equal(t, "tags of the bucket", fmt.Sprint(of.TagSet), "[{a 1}]")
	_, err = client.Bucket.DeleteTagging(ctx)
	must(t, err)
	_, _, err = client.Bucket.GetTagging(ctx)
	refused(t, err, 404, "NoSuchTagSet")
}

func TestIntelligentTiering(t *testing.T) {
	client, _ := fresh(t)
	archive := cos.BucketIntelligentTieringTransition{AccessTier: "ARCHIVE_ACCESS", Days: 91}
	old := cos.BucketPutIntelligentTieringOptions{
		Id:      "old",
		Status:  "Enabled",
		Tiering: []*cos.BucketIntelligentTieringTransition{&archive},
		Filter: &cos.BucketIntelligentTieringFilter{And: &cos.BucketIntelligentTieringFilterAnd{
			Prefix: "logs/",
			Tag:    []*cos.BucketTaggingTag{{Key: "a", Value: "1"}},
		}},
	}
	infrequent := cos.BucketIntelligentTieringTransition{AccessTier: "INFREQUENT", Days: 60, RequestFrequent: 1}
	all := cos.BucketPutIntelligentTieringOptions{
		Id:      "default",
		Status:  "Enabled",
		Tiering: []*cos.BucketIntelligentTieringTransition{&infrequent},
	}
	for _, each := range []*cos.BucketPutIntelligentTieringOptions{&old, &all} {
		_, err := client.Bucket.PutIntelligentTieringV2(ctx, each)
		must(t, err)
	}
	found, _, err := client.Bucket.GetIntelligentTieringV2(ctx, "old")
	must(t, err)
	equal(t, "prefix", found.Filter.And.Prefix, "logs/")
	equal(t, "tag", *found.Filter.And.Tag[0], cos.BucketTaggingTag{Key: "a", Value: "1"})
	equal(t, "archive tier", *found.Tiering[0], archive)
	first, _, err := client.Bucket.GetIntelligentTiering(ctx)
	must(t, err)
	equal(t, "days", first.Transition.Days, 60)
	listed, _, err := client.Bucket.ListIntelligentTiering(ctx)
	must(t, err)
	equal(t, "configurations", len(listed.Configurations), 2)
	equal(t, "infrequent tier", *listed.Configurations[0].Tiering[0], infrequent)
	_, err = client.Bucket.DeleteIntelligentTiering(ctx, "old")
	must(t, err)
	_, err = client.Bucket.DeleteIntelligentTiering(ctx, "default")
	refused(t, err, 400, "InvalidRequest")
	_, _, err = client.Bucket.GetIntelligentTieringV2(ctx, "old")
	refused(t, err, 404, "NoSuchConfiguration")
}

func TestUploadAndDownload(t *testing.T) {
	client, name := fresh(t)
	folder := t.TempDir()
	for _, size := range []int{100, 33*mib + 7} {
		local, back := filepath.Join(folder, "up"), filepath.Join(folder, "down")
		must(t, os.WriteFile(local, body(size), 0o600))
		_, _, err := client.Object.Upload(ctx, "file", local, &cos.MultiUploadOptions{PartSize: 4, ThreadPoolSize: 4})
		must(t, err)
		_, err = client.Object.Download(ctx, "file", back, &cos.MultiDownloadOptions{PartSize: 3, ThreadPoolSize: 4})
		must(t, err)
		data, err := os.ReadFile(back)
		must(t, err)
		equal(t, "bytes", bytes.Equal(data, body(size)), true)
	}
	_, _, err := client.Object.MultiCopy(ctx, "copied", host(name)+"/file", &cos.MultiCopyOptions{PartSize: 8})
	must(t, err)
	equal(t, "copied", bytes.Equal(get(t, client, "copied", nil), body(33*mib+7)), true)
}

func TestPresigned(t *testing.T) {
	client, _ := fresh(t)
	plain := &http.Client{Transport: here()}
	for _, merged := range []bool{false, true} {
		opt := &cos.PresignedURLOptions{Query: &url.Values{}, Header: &http.Header{}, SignMerged: merged}
		put, err := client.Object.GetPresignedURL(ctx, http.MethodPut, "p 中+", secretID, secretKey, time.Hour, opt)
		must(t, err)
		request, err := http.NewRequest(http.MethodPut, put.String(), strings.NewReader("by url"))
		must(t, err)
		answer, err := plain.Do(request)
		must(t, err)
		answer.Body.Close()
		equal(t, "put", answer.StatusCode, 200)
		opt.Query.Set("response-content-type", "text/css")
		get, err := client.Object.GetPresignedURL(ctx, http.MethodGet, "p 中+", secretID, secretKey, time.Hour, opt)
		must(t, err)
		answer, err = plain.Get(get.String())
		must(t, err)
		data, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		must(t, err)
		equal(t, "body", string(data), "by url")
		equal(t, "type", answer.Header.Get("Content-Type"), "text/css")
	}
}

func TestProxy(t *testing.T) {
	_, name := fresh(t)
	proxy, _ := url.Parse("http://127.0.0.1:" + port)
	client := clientOf(name, signed(&http.Transport{Proxy: http.ProxyURL(proxy)}))
	_, err := client.Object.Put(ctx, "a/b c", strings.NewReader("proxied"), nil)
	must(t, err)
	equal(t, "body", string(get(t, client, "a/b c", nil)), "proxied")
}

func TestStrangers(t *testing.T) {
	_, name := fresh(t)
	client := clientOf(name, &http.Client{Transport: &cos.AuthorizationTransport{
		SecretID: secretID, SecretKey: "wrong", Transport: here(),
	}})
	_, err := client.Object.Get(ctx, "k", nil)
	refused(t, err, 403, "SignatureDoesNotMatch")
}
