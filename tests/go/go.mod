module costrel/tests

go 1.21

require github.com/tencentyun/cos-go-sdk-v5 v0.7.70
