-- A Lambda runtime in GHC's own libraries and `network`: load the function, then ask for an event, answer it, again.
-- Build: ghc -O -static -optl-static -optl-pthread -o bootstrap bootstrap.hs
module Main (main) where

import Control.Exception (SomeException, displayException, evaluate, try)
import Control.Monad (forever)
import qualified Data.ByteString.Char8 as B
import Data.Maybe (fromMaybe)
import Function (load)
import Http
import System.Environment (lookupEnv)
import System.Exit (exitFailure)
import System.IO (hPutStrLn, stderr)

main :: IO ()
main = do
  api <- maybe (fail "AWS_LAMBDA_RUNTIME_API is not set") parseAddress =<< lookupEnv "AWS_LAMBDA_RUNTIME_API"
  loaded <- try load
  case loaded of
    Left failure -> do
      _ <- post api "init/error" (describe (displayException (failure :: SomeException)))
      exitFailure
    Right handler -> forever (serve api handler)

serve :: Address -> Handler -> IO ()
serve api handler = do
  next <- get api "invocation/next"
  if status next /= 200
    then hPutStrLn stderr ("next: " ++ show (status next)) >> exitFailure
    else do
      let header name = fromMaybe B.empty (lookup name (headers next))
          invocation = B.append (B.pack "invocation/") (header "lambda-runtime-aws-request-id")
      answer <- try (handler (header "lambda-runtime-deadline-ms") (body next) >>= evaluate)
      _ <- case answer of
        Right (Right json) -> post api (B.unpack invocation ++ "/response") json
        Right (Left text) -> post api (B.unpack invocation ++ "/error") (describe text)
        Left failure -> post api (B.unpack invocation ++ "/error") (describe (displayException (failure :: SomeException)))
      return ()

describe :: String -> B.ByteString
describe text = B.pack ("{\"errorType\": \"Haskell.Error\", \"errorMessage\": \"" ++ concatMap escape text ++ "\"}")
  where
    escape letter
      | letter `elem` "\"\\" = ['\\', letter]
      | letter < ' ' = " "
      | otherwise = [letter]
