# A function with everything around it, on lambdad:
#   lambdad up
#   (cd function && zip -r ../function.zip .) && (cd layer && zip -r ../layer.zip .)
#   terraform init && terraform apply

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "endpoint" {
  default = "http://127.0.0.1:9000"
}

variable "description" {
  default = "says hello"
}

# A node without keys takes any; others are made with `lambdad keys create`.
variable "access_key" {
  default = "test"
}

variable "secret_key" {
  default   = "test"
  sensitive = true
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = var.access_key
  secret_key                  = var.secret_key
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  endpoints {
    iam    = var.endpoint
    lambda = var.endpoint
    logs   = var.endpoint
    sts    = var.endpoint
  }
}

resource "aws_cloudwatch_log_group" "hello" {
  name              = "/aws/lambda/hello-terraform"
  retention_in_days = 14
  tags = {
    team = "hello"
  }
}

data "aws_iam_policy_document" "lambda_may_assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "hello" {
  name               = "hello-terraform"
  assume_role_policy = data.aws_iam_policy_document.lambda_may_assume.json
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.hello.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "queue" {
  name = "queue"
  role = aws_iam_role.hello.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sqs:*", Resource = "*" }]
  })
}

resource "aws_lambda_layer_version" "greeting" {
  layer_name          = "greeting"
  filename            = "${path.module}/layer.zip"
  source_code_hash    = filebase64sha256("${path.module}/layer.zip")
  compatible_runtimes = ["python3.11"]
}

resource "aws_lambda_function" "hello" {
  function_name                  = "hello-terraform"
  description                    = var.description
  role                           = aws_iam_role.hello.arn
  runtime                        = "python3.11"
  handler                        = "app.handler"
  filename                       = "${path.module}/function.zip"
  source_code_hash               = filebase64sha256("${path.module}/function.zip")
  layers                         = [aws_lambda_layer_version.greeting.arn]
  publish                        = true
  timeout                        = 10
  reserved_concurrent_executions = 5
  environment {
    variables = {
      STAGE = "test"
    }
  }
  logging_config {
    log_format            = "JSON"
    application_log_level = "WARN"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.hello.name
  }
  tags = {
    team = "hello"
  }
}

# From a bucket: `lambdad up` finds the store by `s3_endpoint` or AWS_ENDPOINT_URL_S3.
variable "bucket" {
  default = "" # one that has function.zip
}

resource "aws_lambda_function" "stored" {
  count         = var.bucket == "" ? 0 : 1
  function_name = "hello-terraform-stored"
  role          = aws_iam_role.hello.arn
  runtime       = "python3.11"
  handler       = "app.handler"
  layers        = [aws_lambda_layer_version.greeting.arn]
  s3_bucket     = var.bucket
  s3_key        = "function.zip"
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.hello.function_name
  function_version = "1"
  dynamic "routing_config" {
    for_each = var.description == "says hello" ? [] : [{ "2" = 0.1 }]
    content {
      additional_version_weights = routing_config.value
    }
  }
}

resource "aws_lambda_function_url" "live" {
  function_name      = aws_lambda_function.hello.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "NONE"
  cors {
    allow_origins = ["https://example.com"]
    max_age       = 60
  }
}

resource "aws_lambda_function_event_invoke_config" "hello" {
  function_name                = aws_lambda_function.hello.function_name
  maximum_event_age_in_seconds = 600
  maximum_retry_attempts       = 1
  destination_config {
    on_failure {
      destination = "arn:aws:sqs:us-east-1:000000000000:failed"
    }
  }
}

resource "aws_lambda_permission" "s3" {
  statement_id  = "bucket"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.hello.function_name
  qualifier     = aws_lambda_alias.live.name
  principal     = "s3.amazonaws.com"
  source_arn    = "arn:aws:s3:::uploads"
}

resource "aws_lambda_event_source_mapping" "queue" {
  event_source_arn = "arn:aws:sqs:us-east-1:000000000000:orders"
  function_name    = aws_lambda_alias.live.arn
  batch_size       = 5
  enabled          = false
  filter_criteria {
    filter {
      pattern = jsonencode({ body = { kind = ["order"] } })
    }
  }
}

output "url" {
  value = aws_lambda_function_url.live.function_url
}
